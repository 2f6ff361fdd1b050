"""JSON with declared fields: each record becomes a document with its own text, title, metadata and URI."""

import asyncio
import io
import json
import os
import zipfile
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from app.cli import command_line
from app.domain.errors import ConfigurationError, DamagedFile, InvalidInput
from app.embedded.connect import environment_of
from ingestion.loaders.dispatch import records
from ingestion.loaders.json_fields import JsonFields, pointer
from ingestion.parsing import Contents, Cutting
from ingestion.place import Here
from ingestion.sources.source import Content
from tests.fixtures.syncing import Syncing
from tests.fixtures.website import Website

RFC = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, 'k"l': 6, " ": 7, "m~n": 8, "~1": 9}
BEES, CATS = {"id": 7, "title": "Bees", "body": "Bees make honey."}, {"id": 8, "title": "Cats", "body": "Cats sleep."}


def lines(*values: object) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def documents(syncing: Syncing) -> list[tuple[str, str, object]]:
    """The end of the URI, the title and the metadata of each document's current version."""
    found = syncing.rows(
        "SELECT o.source_uri, v.title, v.metadata FROM document o "
        "JOIN document_version v ON v.document_id = o.id AND v.valid_to IS NULL ORDER BY o.source_uri"
    )
    return [(uri.rpartition("/docs/")[2], title, metadata) for uri, title, metadata in found]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("", RFC),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
        ("/~01", 9),
        ("foo", ["bar", "baz"]),
        ("m~n", 8),
        ("/foo/2", None),
        ("/foo/00", None),
        ("/foo/-", None),
        ("/foo/0/x", None),
        ("/bar", None),
    ],
)
def test_a_pointer_leads_where_rfc_6901_says(written: str, value: object) -> None:
    assert pointer(written).of(RFC) == value


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"text": "article/body"}, "`article/body` is no JSON Pointer: write `/article/body`."),
        ({"text": "#/body"}, "`#/body` is no JSON Pointer: write `/body`."),
        ({"text": "/a~b"}, "write `~0` for `~`"),
        ({"text": "body", "key": "a/b"}, "write `/a/b`"),
        ({"text": "body", "records": "a/b"}, "write `/a/b`"),
        ({"text": "body", "title": "a/b"}, "write `/a/b`"),
        ({"text": "body", "metadata": ["/a/name", "/b/name"]}, "Two metadata are called `name`: write `NAME=/b/name`"),
        ({"text": "body", "metadata": [""]}, "The metadata at `` have no name: write `NAME=/…`"),
        ({"text": []}, "sources.docs.json.text: "),
        ({"title": "title"}, "sources.docs.json.text: Field required"),
        ({"text": "body", "body": "text"}, "sources.docs.json.body: Extra inputs"),
        ({"text": "body", "media_type": "text/rtf"}, "sources.docs.json.media_type: "),
    ],
)
def test_a_wrong_declaration_says_what_to_write(syncing: Syncing, keys: dict[str, object], said: str) -> None:
    syncing.declare(type="files", paths=["docs"], json=keys)
    with pytest.raises(ConfigurationError) as caught:
        syncing()
    assert said in caught.value.message
    assert "sources.docs.json" in caught.value.message


def test_each_line_becomes_a_document_with_its_metadata(syncing: Syncing) -> None:
    syncing.declare(
        type="files",
        paths=["docs"],
        json={
            "text": ["/article/lead", "/article/body"],
            "title": "headline",
            "metadata": ["team", "author=/by/name", "/article/year"],
        },
    )
    syncing.write(
        "a.jsonl",
        lines(
            {
                "headline": "Of\nbees",
                "article": {"lead": "Bees.", "body": ["They make honey.", "And wax."], "year": 2024},
                "team": ["x", "y"],
                "by": {"name": "Ann"},
            },
            {"article": {"body": "Cats sleep.", "year": None}},
        )
        + "\n"
        + lines({"article": {"body": 42}}),
    )
    syncing.write("b.md", "# Left\n\nAs it is.")
    report = syncing()
    assert (report.failures, report.added) == ([], 4)
    assert documents(syncing) == [
        ("a.jsonl!/1", "Of bees", {"team": ["x", "y"], "author": "Ann", "year": 2024}),
        ("a.jsonl!/2", "a 2", {}),
        ("a.jsonl!/4", "a 4", {}),
        ("b.md", "Left", {}),
    ]
    assert syncing.texts() == [
        "1: Bees.\n\nThey make honey.\n\nAnd wax.",
        "2: Cats sleep.",
        "4: 42",
        "b.md: # Left\n\nAs it is.",
    ]


def test_only_records_that_changed_are_taken_anew_and_a_key_keeps_them_apart(syncing: Syncing) -> None:
    syncing.declare(type="files", paths=["docs"], json={"text": "body", "title": "title", "key": ["title", "id"]})
    odd = {"id": "a/b!.py", "title": "Dogs", "body": "Dogs bark."}
    path = syncing.write("a.jsonl", lines(BEES, CATS, odd))
    assert (syncing().added, syncing().unchanged) == (3, 3)
    assert [uri for uri, *_ in documents(syncing)] == [
        *("a.jsonl!/Bees/7", "a.jsonl!/Cats/8", "a.jsonl!/Dogs/a%2Fb%21.py"),
    ]
    path.write_text(lines(odd, BEES | {"body": "Bees make wax."}))
    dry = syncing(dry_run=True, prune=True, max_prune_share=1.0)
    assert [step.action for step in dry.plan] == ["change", "delete"]
    report = syncing(prune=True, max_prune_share=1.0)
    assert (report.added, report.changed, report.unchanged, report.deleted, report.embedded) == (0, 1, 1, 1, 1)


def test_a_list_in_a_document_and_html_in_its_records(syncing: Syncing) -> None:
    fields = {"text": "html", "title": "t", "key": "k", "records": "/data/items", "media_type": "text/html"}
    syncing.declare(type="files", paths=["docs"], json=fields)
    items = [{"k": "x.txt", "t": "Bees", "html": "<h1>No</h1><p>Bees <b>make</b> honey.</p>"}]
    syncing.write("a.json", json.dumps({"data": {"items": items}}))
    assert syncing().failures == []
    assert [(uri, title) for uri, title, _ in documents(syncing)] == [("a.json!/x.txt", "Bees")]
    assert syncing.texts() == ["x.txt: # No\n\nBees make honey."]


def test_another_declaration_reads_files_anew(syncing: Syncing) -> None:
    path = syncing.write("a.jsonl", lines(BEES, CATS))
    os.utime(path, (0, 0))
    other = syncing.write("b.md", "# Left\n\nAs it is.")
    os.utime(other, (0, 0))
    assert syncing().added == 2

    syncing.declare(type="files", paths=["docs"], json={"text": "body"})
    report = syncing(prune=True, max_prune_share=1.0)
    assert (report.added, report.unchanged, report.deleted) == (2, 1, 1)
    assert [uri for uri, *_ in documents(syncing)] == ["a.jsonl!/1", "a.jsonl!/2", "b.md"]

    syncing.declare(type="files", paths=["docs"], json={"text": "body", "metadata": ["id"]})
    assert (syncing().changed, syncing().unchanged) == (2, 3)
    assert [metadata for *_, metadata in documents(syncing)] == [{"id": 7}, {"id": 8}, {}]

    syncing.declare(type="files", paths=["docs"])
    report = syncing(prune=True, max_prune_share=1.0)
    assert (report.added, report.unchanged, report.deleted) == (1, 1, 2)
    assert [uri for uri, *_ in documents(syncing)] == ["a.jsonl", "b.md"]


def test_what_a_file_was_as_a_whole_is_deleted_without_its_records(syncing: Syncing) -> None:
    syncing.write("a.jsonl", lines(BEES, CATS))
    syncing()
    syncing.declare(type="files", paths=["docs"], json={"text": "body", "key": "id"})
    syncing()
    [(whole,)] = syncing.rows("SELECT id FROM document WHERE source_uri LIKE '%.jsonl'")
    environment = environment_of(syncing.settings)
    shown = CliRunner().invoke(
        command_line("documents"), ["documents", "--delete", str(whole), "--yes"], env=environment
    )
    assert (shown.exit_code, shown.stderr) == (0, "1 document deleted.\n")
    assert [uri for uri, *_ in documents(syncing)] == ["a.jsonl!/7", "a.jsonl!/8"]


def test_a_record_of_markup_alone_has_no_text(syncing: Syncing) -> None:
    syncing.declare(type="files", paths=["docs"], json={"text": "body", "key": "id", "media_type": "text/html"})
    syncing.write("a.jsonl", lines(BEES, {"id": 8, "body": "<p>Cats sleep.</p>"}))
    syncing()
    syncing.write("a.jsonl", lines(BEES, {"id": 8, "body": "<p>&nbsp;</p>"}, {"id": 9, "body": "<br>"}))
    plan = syncing(dry_run=True, prune=True, max_prune_share=1.0)
    assert [(step.action, step.uri.rpartition("/docs/")[2]) for step in plan.plan] == [("delete", "a.jsonl!/8")]
    report = syncing(prune=True, max_prune_share=1.0)
    assert (plan.failures, report.failures, report.unchanged, report.deleted) == ([], [], 1, 1)
    assert [uri for uri, *_ in documents(syncing)] == ["a.jsonl!/7"]


def test_a_record_a_line_is_seen_under_the_name_json_too(syncing: Syncing) -> None:
    """As MongoDB and many others export them."""
    syncing.declare(type="files", paths=["docs"], json={"text": "body", "key": "id"})
    syncing.write("a.json", "\ufeff\r\n" + lines(BEES, CATS).replace("\n", "\r\n\r\n"))
    syncing.write("b.json", json.dumps({"id": 9, "body": "Dogs bark."}) + "\n")
    syncing.write("c.json", json.dumps({"id": 10, "body": "Eels swim."}, indent=1))
    assert syncing().failures == []
    assert [uri for uri, *_ in documents(syncing)] == ["a.json!/7", "a.json!/8", "b.json!/9", "c.json!/10"]
    syncing.write("a.json", lines(BEES) + "{}}\n")
    [failure] = syncing().failures
    assert "Line 2 is not JSON" in failure.reason


def test_another_media_type_reads_records_anew(syncing: Syncing) -> None:
    syncing.write("a.jsonl", lines({"id": 1, "body": "<h1>Bees</h1><p>They make honey.</p>"}))
    syncing.declare(type="files", paths=["docs"], json={"text": "body", "key": "id"})
    syncing()
    syncing.declare(type="files", paths=["docs"], json={"text": "body", "key": "id", "media_type": "text/html"})
    assert (syncing().changed, syncing().unchanged) == (1, 1)
    assert "<p>" not in "".join(syncing.texts())


def test_records_are_deleted_when_their_declaration_is_taken_back(syncing: Syncing) -> None:
    """What the file was before them stays, unless it is pruned, and is no reason not to look into the file."""
    os.utime(syncing.write("a.jsonl", lines(BEES, CATS)), (0, 0))
    syncing()
    syncing.declare(type="files", paths=["docs"], json={"text": "body", "key": "id"})
    syncing()
    assert [uri for uri, *_ in documents(syncing)] == ["a.jsonl", "a.jsonl!/7", "a.jsonl!/8"]

    syncing.declare(type="files", paths=["docs"])
    plan = syncing(dry_run=True, prune=True, max_prune_share=1.0).plan
    assert [(step.action, step.uri.rpartition("/docs/")[2]) for step in plan] == [
        ("change", "a.jsonl"),
        ("delete", "a.jsonl!/7"),
        ("delete", "a.jsonl!/8"),
    ]
    report = syncing(prune=True, max_prune_share=1.0)
    assert (report.changed, report.deleted) == (1, 2)
    assert [uri for uri, *_ in documents(syncing)] == ["a.jsonl"]
    assert syncing().unchanged == 1


def test_records_that_vanished_and_were_kept_are_pruned_later(syncing: Syncing) -> None:
    """Their file has a document again, and is not read as long as its size and time stay."""
    path = syncing.write("a.jsonl", lines(BEES, CATS))
    os.utime(path, (0, 0))
    syncing.declare(type="files", paths=["docs"], json={"text": "body", "key": "id"})
    syncing()
    syncing.declare(type="files", paths=["docs"])
    assert (syncing().vanished, syncing().vanished) == (2, 2)
    os.utime(path, (1, 1))
    assert (syncing().vanished, syncing(dry_run=True).vanished) == (2, 2)
    assert syncing(prune=True, max_prune_share=1.0).deleted == 2
    assert [uri for uri, *_ in documents(syncing)] == ["a.jsonl"]

    syncing.declare(type="files", paths=["docs"], json={"text": "body", "key": "id"})
    syncing()
    syncing.write("a.jsonl", lines(BEES))
    assert (syncing().vanished, syncing().vanished) == (2, 2)
    syncing.write("a.jsonl", lines(BEES, CATS))
    assert (syncing().vanished, syncing().vanished) == (1, 1), "it is there again"


def test_records_are_stored_while_others_of_their_file_are_read(
    syncing: Syncing, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncing.declare(type="files", paths=["docs"], json={"text": "body", "key": "id"})
    syncing.write("a.jsonl", lines(*({"id": n, "body": f"The text of {n}."} for n in range(200))))
    parse, stored = Here.parse, list[int]()

    async def last_waits(self: Here, content: Content, cutting: Cutting) -> Contents:
        for _ in range(200 if content.name == "199.txt" else 0):
            [(there,)] = syncing.rows("SELECT count(*) FROM document")
            if there:
                stored.append(there)
                break
            await asyncio.sleep(0.05)
        return await parse(self, content, cutting)

    monkeypatch.setattr(Here, "parse", last_waits)
    assert syncing().added == 200
    assert stored, "an interruption would have cost them all"


def test_a_record_whose_key_is_too_long_to_be_stored_costs_itself_alone(syncing: Syncing) -> None:
    syncing.declare(type="files", paths=["docs"], json={"text": "body", "key": "id"})
    syncing.write("a.jsonl", lines({"id": os.urandom(2_000).hex(), "body": "Bees."}, CATS))
    plan, report = syncing(dry_run=True), syncing()
    for each in (plan, report):
        [failure] = each.failures
        assert "more than the 2,600 that can be stored; give it a shorter name or key" in failure.reason
        assert each.added == 1
    assert [uri for uri, *_ in documents(syncing)] == ["a.jsonl!/8"]


def test_json_in_an_archive_is_read_so_too(syncing: Syncing) -> None:
    syncing.declare(type="files", paths=["docs"], json={"text": "body", "title": "title"})
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("in/a.jsonl", lines(BEES))
        made.writestr("b.md", "# Left\n\nAs it is.")
    (syncing.folder / "all.zip").write_bytes(out.getvalue())
    assert syncing().failures == []
    assert [uri for uri, *_ in documents(syncing)] == ["all.zip!/b.md", "all.zip!/in/a.jsonl!/1"]


def test_what_is_not_found_is_said(syncing: Syncing) -> None:
    fields = {"text": ["lead", "body"], "title": "titel", "metadata": ["team"]}
    syncing.declare(type="files", paths=["docs"], json=fields)
    syncing.write("a.jsonl", lines(BEES, {"id": 9, "body": " ", "team": None}, CATS, "odd"))
    for dry_run in (True, False):
        with capture_logs() as logs:
            report = syncing(dry_run=dry_run)
        assert (report.added, report.failures) == (2, [])
        assert [entry["note"] for entry in logs if entry["event"] == "ingest.note"] == [
            "No record has anything at `lead`; the fields are: id, title, body, team.",
            "No record has anything at `titel`; the fields are: id, title, body, team.",
            "2 of 4 records have no text and were left out.",
        ]


@pytest.mark.parametrize(
    ("name", "text", "empty", "records"),
    [("a.json", [BEES, CATS], [], None), ("a.json", {"items": [BEES, CATS]}, {"items": []}, "items")],
)
def test_a_list_that_became_empty_has_no_records_any_more(
    syncing: Syncing, name: str, text: object, empty: object, records: str | None
) -> None:
    fields = {"text": "body", "key": "id"} | ({"records": records} if records else {})
    syncing.declare(type="files", paths=["docs"], json=fields)
    syncing.write(name, json.dumps(text))
    syncing()
    syncing.write(name, json.dumps(empty))
    report = syncing(prune=True)
    assert (report.failures, report.vanished, report.deleted) == ([], 2, 0)
    assert report.refused is not None, "more than may go at once"
    assert syncing(prune=True, max_prune_share=1.0).deleted == 2


@pytest.mark.parametrize(
    ("name", "text", "fields", "said"),
    [
        ("a.jsonl", lines({"id": 1}, {"x": 2}), {"text": ["body", "/a/b"]}, "no text"),
        ("a.json", json.dumps({"items": {}}), {"text": ["body"], "records": "/items"}, "no list"),
        ("a.json", json.dumps([BEES]), {"text": ["body"], "records": "/items"}, "no list"),
        ("a.jsonl", lines(BEES, CATS | {"id": 7}), {"text": ["body"], "key": ["id"]}, "twice"),
        ("a.jsonl", lines(BEES, {"body": "x"}), {"text": ["body"], "key": ["id"]}, "no key"),
        ("a.jsonl", lines(BEES) + "{", {"text": ["body"]}, "no JSON"),
        ("a.json", "[" * 100_000, {"text": ["body"]}, "too deep"),
    ],
)
def test_a_file_that_is_not_as_declared_is_refused(name: str, text: str, fields: dict[str, object], said: str) -> None:
    expected = {
        "no text": "No record has a text at `body` or `/a/b`; the fields are: id, x. Correct the pointer, or leave",
        "no list": "There is no list of records at `/items`; the file has the fields: ",
        "twice": "Two records have the key 7; name fields that tell them apart as the key.",
        "no key": "Record 2 has no key at `id`; name a field that every record has.",
        "no JSON": "Line 2 is not JSON",
        "too deep": "The ",
    }
    with pytest.raises(DamagedFile) as caught:
        records(Path(name), text.encode(), JsonFields(**fields))  # type: ignore[arg-type]
    assert caught.value.message.startswith(expected[said])


def test_a_feed_on_the_web_is_read_so_too(syncing: Syncing, website: Website) -> None:
    feed = {
        "version": "https://jsonfeed.org/version/1.1",
        "items": [{"id": "1", "content_text": "Bees.", "tags": ["x"]}],
    }
    website.page("/feed", json.dumps(feed), **{"content-type": "application/feed+json; charset=utf-8"})
    keys = {"type": "web", "urls": [f"{website.url}/feed"], "requests_per_s": 100, "allow_networks": ["127.0.0.0/8"]}
    syncing.declare(**keys)
    assert (syncing().added, syncing().unchanged) == (1, 1)
    syncing.declare(**keys, json={"text": "content_text", "records": "/items", "key": "id", "metadata": "tags"})
    report = syncing(prune=True, max_prune_share=1.0)
    assert (report.added, report.deleted, report.failures) == (1, 1, [])
    assert syncing.rows("SELECT source_uri FROM document") == [(f"{website.url}/feed!/1",)]
    assert syncing().unchanged == 1


def test_pointers_at_the_command_line(syncing: Syncing) -> None:
    path = syncing.write("a.json", json.dumps({"items": [BEES, CATS]}))
    environment = environment_of(syncing.settings) | {"FOOTNOTE_EMBEDDER": "scripted"}

    def ingest(*options: str) -> dict[str, object]:
        arguments = ["ingest", str(path), *options, "--json"]
        shown = CliRunner().invoke(command_line("ingest"), arguments, env=environment, catch_exceptions=False)
        assert shown.exit_code == 0, shown.output
        return dict(json.loads(shown.stdout.splitlines()[-1]))

    pointers = (
        "--json-text",
        "/body",
        "--json-title",
        "title",
        "--json-metadata",
        "no=/id",
        "--json-records",
        "/items",
    )
    assert ingest(*pointers, "--json-key", "id")["added"] == 2
    assert documents(syncing) == [("a.json!/7", "Bees", {"no": 7}), ("a.json!/8", "Cats", {"no": 8})]
    with pytest.raises(InvalidInput, match="--json-text POINTER"):
        ingest("--json-title", "title")
    with pytest.raises(InvalidInput, match="write `/a/b`"):
        ingest("--json-text", "a/b")
