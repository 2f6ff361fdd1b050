"""Files in other files: archives and attachments become documents, each with its own fate."""

import asyncio
import io
import os
import zipfile
from email.message import EmailMessage
from pathlib import Path

import pytest

from app.domain.errors import DamagedFile, DocumentNotFound, EncryptedFile, FileTooLarge, UnreadableFile
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.settings import Settings
from app.storage.documents import DocumentStore
from ingestion.cli import ingest_files
from ingestion.loaders import archive
from ingestion.loaders.dispatch import is_archive, load, members
from ingestion.opening import opened_database
from ingestion.sources.files import find_files
from tests.fixtures.compound import outlook_message
from tests.fixtures.syncing import Syncing


def zip_of(**files: str | bytes) -> bytes:
    """An archive; in names `__` stands for a slash and `_` for a dot."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            made.writestr(name.replace("__", "/").replace("_", "."), data)
    return out.getvalue()


def mail_of(subject: str, text: str, *attached: tuple[str, bytes]) -> EmailMessage:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, "ann@example.org", "bob@example.org"
    message["Date"] = "Mon, 02 Nov 2026 10:00:00 +0000"
    message.set_content(text)
    for name, data in attached:
        message.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return message


def test_an_archive_is_synced_file_by_file(syncing: Syncing) -> None:
    inner = zip_of(deep_md="Deep water is cold.")
    path = syncing.folder / "all.zip"
    path.write_bytes(
        zip_of(
            bees_md="Bees make honey.",
            sub__cats_txt="Cats sleep.",
            more_zip=inner,
            icon_png=b"\x89PNG",
            _hidden_md="No.",
        )
    )
    report = syncing()
    assert (report.failures, report.added) == ([], 3)
    assert syncing.texts() == ["bees.md: Bees make honey.", "deep.md: Deep water is cold.", "cats.txt: Cats sleep."]
    assert [uri.partition("all.zip")[2] for (uri,) in syncing.rows("SELECT source_uri FROM document ORDER BY 1")] == [
        "!/bees.md",
        "!/more.zip!/deep.md",
        "!/sub/cats.txt",
    ]
    again = syncing()
    assert (again.added, again.unchanged, again.embedded, again.vanished) == (0, 3, 0, 0)
    dry = syncing(dry_run=True)
    assert (dry.plan, dry.unchanged) == ([], 3)
    dry = syncing(dry_run=True, again=True)
    assert [step.action for step in dry.plan] == ["change", "change", "change"]
    anew = syncing(again=True)
    assert (anew.changed, anew.unchanged, anew.embedded, anew.vanished) == (3, 0, 0, 0)

    path.write_bytes(zip_of(bees_md="Bees make wax.", more_zip=inner))
    report = syncing(prune=True, max_prune_share=1.0)
    assert (report.changed, report.unchanged, report.deleted) == (1, 1, 1)
    path.rename(path.with_name("renamed.zip"))
    assert syncing(prune=True, max_prune_share=1.0).moved == 2
    path.with_name("renamed.zip").unlink()
    assert (syncing(prune=True, max_prune_share=1.0).deleted, syncing.texts()) == (2, [])


def test_a_folder_in_an_archive_may_end_with_an_exclamation_mark(syncing: Syncing) -> None:
    path = syncing.folder / "all.zip"
    path.write_bytes(zip_of(**{"new!__bees_md": "Bees make honey.", "cats_txt": "Cats sleep."}))
    assert syncing().added == 2
    report = syncing(prune=True, max_prune_share=1.0)
    assert (report.unchanged, report.deleted) == (2, 0)
    path.write_bytes(zip_of(**{"new!__bees_md": "Bees make honey."}))
    assert syncing(prune=True, max_prune_share=1.0).deleted == 1
    assert syncing.texts() == ["bees.md: Bees make honey."]


def test_what_was_in_an_archive_that_became_empty_has_vanished(syncing: Syncing) -> None:
    path = syncing.folder / "all.zip"
    path.write_bytes(zip_of(bees_md="Bees make honey.", more_zip=zip_of(cats_txt="Cats sleep.")))
    assert syncing().added == 2
    path.write_bytes(b"")
    os.utime(path, (0, 0))  # some time ago: nobody is about to write it
    report = syncing(prune=True, max_prune_share=1.0)
    assert (report.failures, report.deleted, syncing.texts()) == ([], 2, [])


def test_a_file_in_an_archive_that_became_empty_has_vanished(syncing: Syncing) -> None:
    path = syncing.folder / "a.zip"
    path.write_bytes(zip_of(bees_md="Bees make honey.", cats_txt="Cats sleep."))
    assert syncing().added == 2
    path.write_bytes(zip_of(bees_md="Bees make honey.", cats_txt="\n"))
    report = syncing(prune=True, max_prune_share=0.5)
    assert (report.failures, report.deleted, syncing.texts()) == ([], 1, ["bees.md: Bees make honey."])


def test_attachments_are_documents_of_their_own(syncing: Syncing) -> None:
    forwarded = mail_of("About bees", "They make honey.", ("wax.md", b"# Wax\n\nBees make wax."))
    message = mail_of("Notes", "See below.", ("cats.txt", b"Cats sleep."), ("broken.pdf", b"%PDF-1.7\nno page"))
    message.add_attachment(forwarded)
    (syncing.folder / "notes.eml").write_bytes(message.as_bytes())
    for report in (syncing(dry_run=True), syncing()):
        assert report.added == 4
        assert [failure.uri.partition("notes.eml")[2] for failure in report.failures] == ["!/broken.pdf"]
    uris = [uri.partition("notes.eml")[2] for (uri,) in syncing.rows("SELECT source_uri FROM document ORDER BY 1")]
    assert uris == ["", "!/About bees.eml", "!/About bees.eml!/wax.md", "!/cats.txt"]

    (syncing.folder / "notes.eml").write_bytes(mail_of("Notes", "Nothing more.").as_bytes())
    for report in (syncing(dry_run=True), syncing(prune=True, max_prune_share=1.0)):
        assert (report.changed, report.vanished) == (1, 3)
    assert syncing.rows("SELECT count(*) FROM document") == [(1,)]


def test_files_of_one_name_are_told_apart() -> None:
    files = [
        (name, text.encode()) for name, text in (("r.txt", "1"), ("r (2).txt", "2"), ("r.txt", "3"), ("r.txt", "4"))
    ]
    message = mail_of("Reports", "See below.", *files)
    for text in ("apples", "pears"):
        message.add_attachment(mail_of("Invoice", text))
    found = members(Path("a.eml"), message.as_bytes())
    assert [one.name for one in found] == [
        *("r.txt", "r (2).txt", "r (3).txt", "r (4).txt", "Invoice.eml", "Invoice (2).eml"),
    ]
    assert [one.data for one in found[:4]] == [b"1", b"2", b"3", b"4"]


async def test_a_mail_goes_with_its_attachments(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "docs" / "notes.eml"
    path.parent.mkdir()
    path.write_bytes(mail_of("Notes", "See below.", ("cats.txt", b"Cats sleep.")).as_bytes())
    files = find_files([path.parent])
    assert (await ingest_files(settings, files, "docs", lambda _report: None)).added == 2

    async with opened_database(settings) as database:
        store = DocumentStore(database)
        mail, attached = await store.page(DEFAULT_WORKSPACE_ID, "docs", limit=10, offset=0)
        await store.delete(DEFAULT_WORKSPACE_ID, mail.id)
        assert await store.page(DEFAULT_WORKSPACE_ID, "docs", limit=10, offset=0) == []
        with pytest.raises(DocumentNotFound):
            await store.delete(DEFAULT_WORKSPACE_ID, attached.id)


def test_what_was_ingested_before_it_was_declared_belongs_to_its_source(syncing: Syncing) -> None:
    path = syncing.folder / "notes.eml"
    path.write_bytes(mail_of("Notes", "See below.", ("cats.txt", b"Cats sleep.")).as_bytes())
    asyncio.run(ingest_files(syncing.settings, find_files([syncing.folder]), "default", lambda _report: None))
    assert syncing.rows("SELECT DISTINCT source FROM document") == [(None,)]
    assert syncing().unchanged == 1
    assert syncing.rows("SELECT DISTINCT source FROM document") == [("docs",)]
    path.unlink()
    assert syncing(prune=True, max_prune_share=1.0).deleted == 2


def test_files_are_taken_three_deep(syncing: Syncing) -> None:
    data = zip_of(deepest_md="Too deep.")
    for _ in range(3):
        data = zip_of(inner_zip=data, beside_md="There.")
    (syncing.folder / "deep.zip").write_bytes(data)
    report = syncing()
    assert (report.added, len(report.failures)) == (3, 1)
    assert "3 deep" in report.failures[0].reason


def test_names_cannot_lead_out_of_the_archive() -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as made:
        for name in ("../../up.md", "/abs.md", "a\\b.md", "__MACOSX/x.md", "x/.git/y.md", "z.exe"):
            made.writestr(name, "text")
    assert [member.name for member in members(Path("a.zip"), data.getvalue())] == ["up.md", "abs.md", "a/b.md"]


@pytest.mark.parametrize("encoding", ["utf-8", "cp437"])
def test_names_in_an_archive_are_read_though_it_does_not_say_how_they_are_encoded(encoding: str) -> None:
    name = "Übersicht für März.md"
    written = name.encode(encoding)
    data = zip_of(**{"x" * (len(written) - 3) + "_md": "text"})
    data = data.replace(b"x" * (len(written) - 3) + b".md", written)
    assert [member.name for member in members(Path("a.zip"), data)] == [name]


def encrypted() -> bytes:
    """Says that its file is encrypted, in both places."""
    data = bytearray(zip_of(a_md="text"))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (zip_of(bomb_md=b"\0" * 20_000_000), FileTooLarge),
        (encrypted(), EncryptedFile),
        (zip_of(a_md=b"text" * 1000)[:-30], UnreadableFile),
        (zip_of(a_md="text").replace(b"a.md+I", b"a.md+J", 1), DamagedFile),
    ],
    ids=["bomb", "encrypted", "truncated", "damaged"],
)
def test_bad_archives_are_refused(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        members(Path("a.zip"), data)


def test_too_many_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_FILES", 2)
    with pytest.raises(FileTooLarge, match="more than 2 files"):
        members(Path("a.zip"), zip_of(a_md="1", b_md="2", c_md="3"))


def test_an_archive_has_no_text_of_its_own() -> None:
    assert is_archive(Path("a.zip"), zip_of(a_md="1"))
    assert not is_archive(Path("a.zip"), b"no archive")
    assert not is_archive(Path("a.md"), b"")
    with pytest.raises(UnreadableFile, match="no text of its own"):
        load(Path("a.zip"), zip_of(a_md="1"))


def test_a_message_of_outlook_is_read_with_its_attachments() -> None:
    data = outlook_message(
        "Bees", "They make honey.\r\n\r\nAnd wax.", "ann@example.org", {"wax.md": b"# Wax\n", "bee.png": b"\x89PNG"}
    )
    document = load(Path("message"), data)
    assert (document.title, document.media_type) == ("Bees", "application/vnd.ms-outlook")
    assert "They make honey.\n\nAnd wax.\n\nAttachments: wax.md, bee.png" in document.text
    assert "ann@example.org" in str(document.metadata["author"])
    assert document.metadata["date"] == "2025-08-18"
    assert [(one.name, one.data) for one in members(Path("message"), data)] == [("wax.md", b"# Wax\n")]
