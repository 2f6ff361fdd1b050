"""Syncing: what changed in a source is brought in, what vanished goes, and nothing is done twice."""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest
from typer.testing import CliRunner

from app.cli import command_line
from app.domain.errors import ConfigurationError, InvalidInput, SourceUnavailable, SyncRunning
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.embedded.connect import environment_of
from app.storage.sync_lock import sync_lock
from ingestion.opening import opened_database
from ingestion.pipeline import Report
from ingestion.sources.files import find_files
from tests.fixtures.syncing import Syncing

PARAGRAPHS = [f"Paragraph {n} says what {' '.join(f'word{n}x{i}' for i in range(120))}." for n in range(5)]


def outcome(syncing: Syncing, **options: object) -> tuple[int, int, int, int, int, int]:
    report = syncing(**options)
    assert (report.failures, report.refused) == ([], None)
    return (
        report.added,
        report.changed,
        report.moved,
        report.unchanged,
        report.deleted,
        report.embedded,
    )


def settle(path: Path) -> None:
    """Let a file look as if it were written a while ago."""
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns - 60_000_000_000))


def test_added_changed_moved_and_deleted(syncing: Syncing) -> None:
    syncing.write("a.md", "\n\n".join(PARAGRAPHS))
    syncing.write("b.md", "Bees make honey.")
    syncing.write("c.md", "Cats sleep all day.")
    added, *_, embedded = outcome(syncing)
    assert (added, embedded) == (3, len(syncing.texts()))
    assert outcome(syncing) == (0, 0, 0, 3, 0, 0)

    [(document_id,)] = syncing.rows("SELECT id FROM document WHERE source_uri LIKE '%/b.md'")
    syncing.write("a.md", "\n\n".join([*PARAGRAPHS[:2], "Another thing.", *PARAGRAPHS[3:]]))
    (syncing.folder / "b.md").rename(syncing.folder / "d.md")
    (syncing.folder / "c.md").unlink()
    assert outcome(syncing, prune=True, max_prune_share=0.5)[:5] == (0, 1, 1, 0, 1)
    assert [text for text in syncing.texts() if "a.md" not in text] == ["d.md: Bees make honey."]
    assert syncing.rows("SELECT id FROM document WHERE source_uri LIKE '%/d.md'") == [(document_id,)]


def test_one_changed_paragraph_embeds_few_chunks(syncing: Syncing) -> None:
    syncing.write("a.md", "\n\n".join(PARAGRAPHS))
    outcome(syncing)
    syncing.write("a.md", "\n\n".join([*PARAGRAPHS[:2], PARAGRAPHS[2].replace("says", "tells"), *PARAGRAPHS[3:]]))
    report = syncing()
    assert (report.changed, report.embedded) == (1, 1)
    assert report.chunks == len(syncing.texts()) > 5


def test_a_file_of_the_same_size_and_time_is_not_read_again(syncing: Syncing) -> None:
    path = syncing.write("a.md", "Old words.")
    settle(path)
    outcome(syncing)
    times = path.stat()
    path.write_text("New words.")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert outcome(syncing)[3] == 1, "told by its stamp"
    settle(path)
    assert outcome(syncing)[1] == 1
    assert syncing.texts() == ["a.md: New words."]


def test_a_file_written_just_now_is_read_again(syncing: Syncing) -> None:
    path = syncing.write("a.md", "Old words.")
    outcome(syncing)
    times = path.stat()
    path.write_text("New words.")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert outcome(syncing)[1] == 1


def test_a_dry_run_prints_the_plan_and_changes_nothing(syncing: Syncing) -> None:
    assert syncing(dry_run=True).plan == []
    assert syncing.rows("SELECT FROM collection WHERE name = 'default'") == []
    for name in ("a", "b", "c", "d"):
        syncing.write(f"{name}.md", f"The text of {name}.")
    outcome(syncing)
    before = syncing.texts()
    syncing.write("a.md", "Changed.")
    (syncing.folder / "b.md").rename(syncing.folder / "e.md")
    (syncing.folder / "c.md").unlink()
    syncing.write("f.md", "New.")
    plan = syncing(dry_run=True, prune=True, max_prune_share=0.5).plan
    assert [(step.action, step.uri[-4:], step.moved_from and step.moved_from[-4:]) for step in plan] == [
        ("change", "a.md", None),
        ("move", "e.md", "b.md"),
        ("add", "f.md", None),
        ("delete", "c.md", None),
    ]
    assert [step.action for step in syncing(dry_run=True).plan][-1] == "keep"
    assert syncing.texts() == before


def test_again_reads_what_has_not_changed_and_embeds_nothing_of_it(syncing: Syncing) -> None:
    for name in ("a", "b"):
        settle(syncing.write(f"{name}.md", f"The text of {name}."))
    outcome(syncing)
    before, texts = syncing.rows("SELECT id FROM document_version ORDER BY id"), syncing.texts()
    plan = syncing(dry_run=True, again=True).plan
    assert [(step.action, step.uri[-4:]) for step in plan] == [("change", "a.md"), ("change", "b.md")]
    assert syncing.rows("SELECT id FROM document_version ORDER BY id") == before
    assert outcome(syncing, again=True) == (0, 2, 0, 0, 0, 0)
    assert syncing.texts() == texts
    assert syncing.rows("SELECT id FROM document_version WHERE valid_to IS NOT NULL ORDER BY id") == before
    assert outcome(syncing) == (0, 0, 0, 2, 0, 0)


def test_again_leaves_one_document_of_those_that_say_the_same(syncing: Syncing) -> None:
    for name in ("a", "b"):
        syncing.write(f"{name}.md", "# The same words")
    outcome(syncing)
    assert outcome(syncing, again=True) == (0, 2, 0, 0, 0, 0)
    assert syncing.texts() == ["a.md: # The same words"]


def test_again_at_the_command_line(syncing: Syncing) -> None:
    path = syncing.write("a.md", "The text of a.")
    environment = environment_of(syncing.settings) | {
        "FOOTNOTE_SOURCES_FILE": str(syncing.settings.sources_file),
        "FOOTNOTE_EMBEDDER": "scripted",
    }

    def footnote(*arguments: str) -> dict[str, object]:
        shown = CliRunner().invoke(command_line(arguments[0]), [*arguments, "--json"], env=environment)
        assert shown.exit_code == 0, shown.output
        return dict(json.loads(shown.stdout.splitlines()[-1]))

    def last_of(report: dict[str, object]) -> tuple[object, object]:
        return report["changed"], report["unchanged"]

    assert footnote("ingest", str(path))["added"] == 1
    assert last_of(footnote("ingest", str(path))) == (0, 1)
    assert last_of(footnote("ingest", str(path), "--again")) == (1, 0)
    assert last_of(footnote("sync", "docs")) == (0, 1)
    assert last_of(footnote("sync", "docs", "--again", "--dry-run")) == (1, 0)
    assert last_of(footnote("sync", "docs", "--again")) == (1, 0)
    assert len(syncing.rows("SELECT id FROM document_version")) == 3


def test_pruning_more_than_the_share_is_refused_with_what_to_do(syncing: Syncing) -> None:
    for number in range(10):
        syncing.write(f"{number}.md", f"Text {number}.")
    outcome(syncing)
    for number in range(3):
        (syncing.folder / f"{number}.md").unlink()
    assert (syncing().vanished, len(syncing.texts())) == (3, 10), "kept without --prune"
    report = syncing(prune=True)
    assert (report.deleted, len(syncing.texts())) == (0, 10)
    assert report.refused is not None
    assert "--prune --max-prune-share 1" in report.refused
    assert syncing(prune=True, max_prune_share=0.3).deleted == 3
    assert len(syncing.texts()) == syncing.rows("SELECT count(*) FROM document_version")[0][0] == 7


def test_a_file_that_became_empty_has_vanished(syncing: Syncing) -> None:
    for number in range(4):
        syncing.write(f"{number}.md", f"Text {number}.")
    outcome(syncing)
    syncing.write("0.md", " \n")
    syncing.write("new.md", "")
    report = syncing()
    assert (report.vanished, len(report.failures)) == (0, 2), "whoever writes it may be about to"
    assert "written just now" in report.failures[0].reason
    os.utime(syncing.folder / "0.md", (0, 0))
    report = syncing()
    assert (report.vanished, len(syncing.texts())) == (1, 4), "kept without --prune"
    assert [failure.uri[-6:] for failure in report.failures] == ["new.md"], "it was never stored"
    assert syncing(prune=True, max_prune_share=0.2).refused is not None
    dry = syncing(dry_run=True, prune=True, max_prune_share=0.3)
    assert [(step.action, step.uri[-4:]) for step in dry.plan] == [("delete", "0.md")]
    assert syncing(prune=True, max_prune_share=0.3).deleted == 1
    assert syncing.texts() == ["1.md: Text 1.", "2.md: Text 2.", "3.md: Text 3."]


def test_a_pipe_is_not_read(syncing: Syncing) -> None:
    os.mkfifo(syncing.folder / "pipe.md")
    syncing.write("a.md", "Here.")
    assert outcome(syncing)[0] == 1
    with pytest.raises(InvalidInput, match=r"pipe\.md is neither a file nor a folder"):
        find_files([syncing.folder / "pipe.md"])
    syncing.declare(type="files", paths=["docs", "docs/pipe.md"])
    with pytest.raises(SourceUnavailable, match="neither a file nor a folder"):
        syncing()


def test_a_folder_that_is_gone_deletes_nothing(syncing: Syncing) -> None:
    syncing.write("a.md", "Here.")
    outcome(syncing)
    syncing.folder.rename(syncing.folder.with_name("elsewhere"))
    with pytest.raises(SourceUnavailable, match="no such file or folder"):
        syncing(prune=True, max_prune_share=1.0)
    assert len(syncing.texts()) == 1


def test_documents_of_others_in_the_collection_stay(
    syncing: Syncing, ingest: Callable[..., Report], tmp_path: Path
) -> None:
    other = tmp_path / "other.md"
    other.write_text("By hand.")
    ingest(other)
    syncing.write("a.md", "Here.")
    outcome(syncing)
    (syncing.folder / "a.md").unlink()
    assert outcome(syncing, prune=True, max_prune_share=1.0)[4] == 1
    assert syncing.texts() == ["other.md: By hand."]


def test_documents_that_another_source_brought_stay(syncing: Syncing) -> None:
    def declared(second: str) -> None:
        first = {"type": "files", "paths": ["docs"]}
        syncing.declare_all({"first": first, "second": {"type": "files", "paths": [second]}})

    for name in ("one/a.md", "one/b.md", "two/c.md"):
        syncing.write(name, f"This is {name}.")
    declared("docs/one")
    assert syncing("first").added == 3
    assert syncing("second").unchanged == 2
    syncing.write("one/a.md", "It was changed.")
    assert syncing("second").changed == 1
    assert syncing.rows("SELECT DISTINCT source FROM document") == [("first",)]
    declared("docs/two")
    report = syncing("second", prune=True, max_prune_share=1.0)
    assert (report.vanished, report.deleted, len(syncing.texts())) == (0, 0, 3)


def test_a_source_takes_over_what_it_lists_of_one_that_is_declared_no_longer(syncing: Syncing) -> None:
    for name in ("a.md", "b.md", "c.md", "old/d.md"):
        settle(syncing.write(name, f"This is {name}."))
    with ZipFile(syncing.folder / "e.zip", "w") as archive:
        archive.writestr("f.md", "This is f.md.")
    assert syncing().added == 5
    syncing.declare("renamed", type="files", paths=["docs"], exclude=["/old"])
    syncing.write("a.md", "It was changed.")
    dry = syncing("renamed", dry_run=True)
    assert (dry.unchanged, dry.vanished) == (3, 0)
    assert syncing.rows("SELECT DISTINCT source FROM document") == [("docs",)]
    report = syncing("renamed")
    assert (report.changed, report.unchanged, report.vanished) == (1, 3, 0)
    owners = syncing.rows("SELECT source, count(*) FROM document GROUP BY 1 ORDER BY 1")
    assert owners == [("docs", 1), ("renamed", 4)], "d.md is in no source now, and nobody can tell why"
    for name in ("b.md", "e.zip"):
        (syncing.folder / name).unlink()
    assert syncing("renamed", prune=True, max_prune_share=0.5).deleted == 2
    assert [text[:4] for text in syncing.texts()] == ["a.md", "c.md", "d.md"]

    (syncing.folder / "empty").mkdir()
    syncing.declare(type="files", paths=["docs/empty"])
    assert syncing(prune=True, max_prune_share=1.0).deleted == 1, "as docs/sync.md says"


def test_a_renamed_source_at_the_command_line(syncing: Syncing) -> None:
    syncing.write("a.md", "Here.")
    environment = environment_of(syncing.settings) | {
        "FOOTNOTE_SOURCES_FILE": str(syncing.settings.sources_file),
        "FOOTNOTE_EMBEDDER": "scripted",
    }
    for name in ("before", "after"):
        syncing.declare(name, type="files", paths=["docs"])
        assert CliRunner().invoke(command_line("sync"), ["sync", name], env=environment).exit_code == 0
    assert syncing.rows("SELECT source FROM document") == [("after",)]


def test_patterns_and_ignore_files(syncing: Syncing) -> None:
    for name in ("a.md", "b.txt", "drafts/c.md", "deep/keep.md", "deep/skip.md", "deep/er/skip.md", ".hidden.md"):
        syncing.write(name, f"This is {name}.")
    (syncing.folder / "deep" / ".footnoteignore").write_text("# not these\nskip.md\n!er/skip.md\n")
    syncing.declare(type="files", paths=["docs"], include=["*.md"], exclude=["/drafts"])
    outcome(syncing)
    assert [text.partition(": This is ")[2] for text in syncing.texts()] == [
        "a.md.",
        "deep/er/skip.md.",
        "deep/keep.md.",
    ]


def test_files_that_mark_their_utf_8_are_read_as_others(syncing: Syncing) -> None:
    syncing.write(".footnoteignore", "\ufeffdrafts\r\n*.tmp.md\r\n!keep.tmp.md\r\n")
    for name in ("drafts/a.md", "b.tmp.md", "keep.tmp.md"):
        syncing.write(name, f"The text of {name}.")
    sources = syncing.settings.sources_file
    sources.write_text("\ufeff" + sources.read_text())
    assert syncing().added == 1
    assert syncing.texts() == ["keep.tmp.md: The text of keep.tmp.md."]


def test_a_file_name_that_is_not_unicode_stops_nothing(syncing: Syncing) -> None:
    for name in (b"gr\xfc\xdfe.md", b"gr\xfd\xdfe.md", b"\xfcch.html"):
        path = syncing.folder / os.fsdecode(name)
        path.write_text(f"The text of {name.hex()}.")
    report = syncing()
    assert (report.added, report.failures) == (3, [])
    uris = [uri.rpartition("/")[2] for (uri,) in syncing.rows("SELECT source_uri FROM document ORDER BY 1")]
    assert uris == ["%FCch.html", "gr%FC%DFe.md", "gr%FD%DFe.md"]
    assert outcome(syncing, again=True) == (0, 3, 0, 0, 0, 0)
    assert outcome(syncing, prune=True) == (0, 0, 0, 3, 0, 0)


def test_a_document_without_a_title_is_named_after_a_file_whose_name_is_not_unicode(syncing: Syncing) -> None:
    (syncing.folder / os.fsdecode(b"gr\xfcn.md")).write_text("The river rose, and it fell again.")
    assert outcome(syncing)[0] == 1
    assert syncing.rows("SELECT title FROM document") == [("gr\ufffdn",)]


def test_what_a_mail_says_of_itself_is_stored_without_nul(syncing: Syncing) -> None:
    syncing.write("a.eml", "From: =?utf-8?q?Bob=00by?= <m@x.de>\nTo: j@x.de\nSubject: =?utf-8?q?a=00b?=\n\nBees.\n")
    syncing.write("b.md", "Bees make honey.")
    assert outcome(syncing)[0] == 2
    [(title, author)] = syncing.rows(
        "SELECT title, metadata->>'author' FROM document_version WHERE metadata ? 'author'"
    )
    assert (title, author) == ("ab", "Bobby <m@x.de>")


def test_documents_that_say_the_same_are_stored_once(syncing: Syncing) -> None:
    syncing.write("a.md", "The same words.")
    syncing.write("b.md", "The same  WORDS.\n")
    syncing.write("c.md", "The same words.")
    outcome(syncing)
    assert syncing.texts() == ["a.md: The same words."]
    assert syncing.rows("SELECT count(*) FROM document") == [(3,)]

    syncing.write("a.md", "Other words now.")
    outcome(syncing)
    assert sorted(syncing.texts()) == ["a.md: Other words now.", "b.md: The same words."]
    assert outcome(syncing) == (0, 1, 0, 2, 0, 1), "b differs in white space from what stood for it"
    assert syncing.texts() == ["a.md: Other words now.", "b.md: The same  WORDS."]

    (syncing.folder / "b.md").unlink()
    assert outcome(syncing, prune=True, max_prune_share=0.5)[4] == 1
    assert syncing.texts() == ["a.md: Other words now.", "c.md: The same  WORDS."]
    (syncing.folder / "c.md").unlink()
    outcome(syncing, prune=True, max_prune_share=0.5)
    assert syncing.texts() == ["a.md: Other words now."]


def test_a_second_sync_of_the_source_is_told_of_the_first(syncing: Syncing) -> None:
    syncing.write("a.md", "Here.")

    async def both() -> None:
        async with opened_database(syncing.settings) as database:
            async with sync_lock(database, DEFAULT_WORKSPACE_ID, "docs"):
                with pytest.raises(SyncRunning, match="--wait"):
                    await asyncio.to_thread(syncing)
                waiting = asyncio.create_task(asyncio.to_thread(syncing, wait=True))
                await asyncio.sleep(0.3)
                assert not waiting.done()
            assert (await waiting).added == 1

    asyncio.run(both())


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"type": "files"}, "sources.docs.paths: Field required"),
        ({"type": "files", "paths": ["x"], "max_prune_share": 2}, "sources.docs.max_prune_share: "),
        ({"type": "files", "paths": ["x"], "colour": "red"}, "sources.docs.colour: Extra inputs"),
        ({"type": "ftp"}, "sources.docs: "),
    ],
)
def test_a_wrong_declaration_is_named(syncing: Syncing, keys: dict[str, object], said: str) -> None:
    syncing.declare(**keys)
    with pytest.raises(ConfigurationError) as caught:
        syncing()
    assert said in caught.value.message


def test_a_variable_that_is_not_set_costs_its_source_alone(syncing: Syncing) -> None:
    syncing.write("a.md", "Here.")
    keys = {"type": "sql", "url": "${NOT_THERE}", "query": "SELECT 1", "key": "id", "text": "body"}
    syncing.declare("tickets", **keys)
    sources = syncing.settings.sources_file.read_text()
    syncing.declare(type="files", paths=["docs"])
    syncing.settings.sources_file.write_text(f"{sources}\n{syncing.settings.sources_file.read_text()}")
    environment = environment_of(syncing.settings) | {
        "FOOTNOTE_SOURCES_FILE": str(syncing.settings.sources_file),
        "FOOTNOTE_EMBEDDER": "scripted",
    }
    shown = CliRunner().invoke(command_line("sync"), ["sync", "--all"], env=environment)
    assert shown.exit_code == 1
    assert "tickets: sources.tickets.url: the variable NOT_THERE is not set in the environment." in shown.stderr
    assert syncing.texts() == ["a.md: Here."]


def test_an_undeclared_name_is_told_which_there_are(syncing: Syncing) -> None:
    with pytest.raises(InvalidInput, match=r"no source named wiki; there are: docs"):
        syncing("wiki")
