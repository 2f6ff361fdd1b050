"""Databases as sources: rows of real SQLite, PostgreSQL and MariaDB, and MongoDB's client against its wire protocol."""

import datetime as dt
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bson
import psycopg
import pytest

from app.domain.errors import ConfigurationError, SourceUnavailable
from ingestion.sources.declared import DeclaredSql, named_sources
from tests.fixtures.mariadb_server import MariaDbServer
from tests.fixtures.mongo_server import MongoServer
from tests.fixtures.syncing import Syncing

TABLE = "CREATE TABLE ticket (id INTEGER PRIMARY KEY, title TEXT, body TEXT, reply TEXT, price NUMERIC(8, 2), at DATE)"
INSERT = "INSERT INTO ticket VALUES (1, 'Printer', 'The printer is on fire.', NULL, 9.5, '2026-01-01'), (2, 'Mouse', "
INSERT += (
    "'The mouse has legs.', 'It is a real one.', 3, '2026-01-02'), (3, 'Screen', 'The screen shows bees.', NULL, 4, "
)
INSERT += "'2026-01-03')"
KEYS = {
    "type": "sql",
    "query": "SELECT id, title, body, reply, price, at FROM ticket ORDER BY id",
    "key": "id",
    "text": ["body", "reply"],
    "title": "title",
    "metadata": ["price", "at"],
}


def run_sqlite(path: Path) -> Callable[[str], None]:
    def run(statement: str) -> None:
        connection = sqlite3.connect(path)
        with connection:
            connection.execute(statement)
        connection.close()

    return run


def run_postgresql(url: str) -> Callable[[str], None]:
    def run(statement: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement.encode())

    return run


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def tickets(
    request: pytest.FixtureRequest, tmp_path: Path, new_database: Callable[[str | None], str]
) -> tuple[str, Callable[[str], None]]:
    """A database with a table of tickets: its URL, and a way to run statements there."""
    if request.param == "sqlite":
        path = tmp_path / "tickets.db"
        url, run = f"sqlite:///{path}", run_sqlite(path)
    elif request.param == "mariadb":
        server: MariaDbServer = request.getfixturevalue("mariadb_server")
        url, run = server.url, server.run
    else:
        url = new_database(None)
        run = run_postgresql(url)
    run(TABLE)
    run(INSERT)
    return url, run


def test_rows_are_synced_with_edits_and_deletes(
    syncing: Syncing, tickets: tuple[str, Callable[[str], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, run = tickets
    monkeypatch.setenv("TICKETS_URL", url)
    syncing.declare("tickets", **KEYS, url="${TICKETS_URL}")
    report = syncing("tickets")
    assert (report.added, report.failures) == (3, [])
    assert syncing.texts() == [
        "1: The printer is on fire.",
        "2: The mouse has legs.\n\nIt is a real one.",
        "3: The screen shows bees.",
    ]
    about = syncing.rows("SELECT title, metadata->'price', metadata->'at' FROM document_version ORDER BY title")
    assert about == [("Mouse", 3, "2026-01-02"), ("Printer", 9.5, "2026-01-01"), ("Screen", 4, "2026-01-03")]
    assert syncing("tickets").unchanged == 3

    run("UPDATE ticket SET body = 'The printer is cold.' WHERE id = 1")
    run("UPDATE ticket SET price = 4 WHERE id = 2")
    run("DELETE FROM ticket WHERE id = 3")
    run("INSERT INTO ticket (id, title, body) VALUES (4, 'Desk', 'The desk is low.')")
    report = syncing("tickets", prune=True, max_prune_share=0.5)
    assert (report.added, report.changed, report.deleted, report.embedded) == (1, 2, 1, 2)
    assert [text[:20] for text in syncing.texts()] == [
        "1: The printer is co",
        "2: The mouse has leg",
        "4: The desk is low.",
    ]

    run("DROP TABLE ticket")
    with pytest.raises(SourceUnavailable, match=r"ticket.*Nothing was changed"):
        syncing("tickets", prune=True, max_prune_share=1.0)
    assert len(syncing.texts()) == 3


def test_a_wrong_query_or_url_is_told(syncing: Syncing, tmp_path: Path) -> None:
    path = tmp_path / "tickets.db"
    run_sqlite(path)(TABLE)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"url": "${NOT_THERE}"}, "sources.tickets.url: .*NOT_THERE is not set"),
        ({"url": "nonsense"}, "not one of SQLAlchemy"),
        ({"url": "oddbase://x/y"}, "not one of SQLAlchemy"),
        ({"url": "postgresql://reader:word@localhost:port/x"}, "not one of SQLAlchemy"),
        ({"url": "postgresql://reader:pass@word@localhost/x"}, "has an `@` in its user name or password; write it as"),
        ({"title": "headline"}, "no column headline; it has id, title"),
        ({"key": []}, "sources.tickets.key: "),
    ]
    for keys, said in wrong:
        syncing.declare("tickets", **{**KEYS, "url": f"sqlite:///{path}", **keys})
        with pytest.raises(ConfigurationError, match=said):
            syncing("tickets")
    run_sqlite(path)("INSERT INTO ticket (id, title, body) VALUES (1, 'A', 'a'), (2, 'A', 'b')")
    syncing.declare("tickets", **{**KEYS, "url": f"sqlite:///{path}", "key": "title"})
    with pytest.raises(SourceUnavailable, match="Two rows of tickets have the key A"):
        syncing("tickets")


@pytest.mark.parametrize(
    ("password", "in_url"),
    [
        ("s3cr@t/a:b?c#d+e f", "s3cr%40t%2Fa%3Ab%3Fc%23d%2Be%20f"),
        ("s3cr%40t", "s3cr%40t"),  # as it had to be written before
        ("100%", "100%25"),
    ],
)
def test_a_password_of_the_environment_may_have_any_characters(
    syncing: Syncing, monkeypatch: pytest.MonkeyPatch, password: str, in_url: str
) -> None:
    monkeypatch.setenv("TICKETS_PASSWORD", password)
    syncing.declare("tickets", **KEYS, url="postgresql://reader:${TICKETS_PASSWORD}@localhost:1/tickets")
    [declared] = named_sources(syncing.settings.sources_file, ["tickets"])
    assert isinstance(declared, DeclaredSql)
    assert declared.full_url == f"postgresql://reader:{in_url}@localhost:1/tickets"
    with pytest.raises(SourceUnavailable, match=r"localhost|127\.0\.0\.1") as caught:
        syncing("tickets")
    assert "@" not in caught.value.message


def test_a_file_of_sqlite_that_is_not_there_is_told_and_not_made(syncing: Syncing, tmp_path: Path) -> None:
    syncing.declare("tickets", **KEYS, url=f"sqlite:///{tmp_path}/tikcets.db")
    with pytest.raises(SourceUnavailable, match=r"there is no file .*tikcets\.db\. Nothing was changed"):
        syncing("tickets")
    assert not (tmp_path / "tikcets.db").exists()


def test_colons_in_a_query_are_its_own(syncing: Syncing, new_database: Callable[[str | None], str]) -> None:
    url = new_database(None)
    run_postgresql(url)("CREATE TABLE note (id int, body text, tags text[], about jsonb)")
    run_postgresql(url)("""INSERT INTO note VALUES (1, 'A sail pulls.', '{a,b}', '{"n":1}')""")
    query = """SELECT id::text, body, \':x\' AS x FROM note WHERE tags[:1] = \'{a}\' AND about @> \'{"n":1}\'"""
    about = f'type = "sql"\nurl = "{url}"\nkey = "id"\ntext = ["body", "x"]\n'
    for written in (query, query.replace("[:1]", r"[\:1]")):  # as it had to be written before
        syncing.settings.sources_file.write_text(f"[sources.notes]\n{about}query = '''{written}'''")
        syncing("notes")
        assert syncing.texts() == ["1: A sail pulls.\n\n:x"]


def test_lists_and_json_of_a_row_are_read_as_those_of_json_files(
    syncing: Syncing, new_database: Callable[[str | None], str]
) -> None:
    url = new_database(None)
    run_postgresql(url)("CREATE TABLE note (id int, parts text[], about jsonb, at timestamptz)")
    run_postgresql(url)("""INSERT INTO note VALUES (1, '{A rope,A sail}', '{"n": [1, null], "by": "Ann"}', NULL)""")
    run_postgresql(url)("INSERT INTO note VALUES (2, '{}', NULL, NULL)")
    keys = {"type": "sql", "url": url, "query": "SELECT * FROM note", "key": "id", "text": ["parts", "about"]}
    syncing.declare("notes", **keys, metadata="about")
    assert (syncing("notes").added, syncing("notes").failures) == (1, [])
    assert syncing.texts() == ["1: A rope\n\nA sail\n\nn:\n  - 1\n  - null\nby: Ann"]
    assert syncing.rows("SELECT metadata->'about' FROM document_version") == [({"n": [1, None], "by": "Ann"},)]


def test_another_media_type_reads_rows_anew(syncing: Syncing, tmp_path: Path) -> None:
    path = tmp_path / "tickets.db"
    run_sqlite(path)("CREATE TABLE ticket (id INTEGER, body TEXT)")
    run_sqlite(path)("INSERT INTO ticket VALUES (1, '<h1>Bees</h1><p>They make honey.</p>')")
    keys = {"type": "sql", "url": f"sqlite:///{path}", "query": "SELECT * FROM ticket", "key": "id", "text": "body"}
    syncing.declare("tickets", **keys)
    syncing("tickets")
    syncing.declare("tickets", **keys, media_type="text/html")
    assert (syncing("tickets").changed, syncing("tickets").unchanged) == (1, 1)
    assert "<p>" not in "".join(syncing.texts())


def test_bytes_are_read_as_text(syncing: Syncing, tmp_path: Path) -> None:
    path = tmp_path / "blobs.db"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE note (id INTEGER PRIMARY KEY, title BLOB, body BLOB, reply BLOB, by BLOB)")
        rows = [
            ("Fähre".encode(), "Schöne Fähre.".encode(), None, "Jörg".encode()),
            (None, "Die Brücke hält über den Fluss.".encode("cp1252"), None, None),
            (None, b"Das Meer.", "Größe zählt für jede Brücke.".encode("cp1252"), None),
            (None, bytes(range(256)), None, None),
            (None, bytes(range(256)), bytes(range(256)), None),
        ]
        connection.executemany("INSERT INTO note (title, body, reply, by) VALUES (?, ?, ?, ?)", rows)
    connection.close()
    about = {"type": "sql", "url": f"sqlite:///{path}", "key": "id", "text": ["body", "reply"], "title": "title"}
    syncing.declare("notes", **about, query="SELECT * FROM note", metadata=["by"])
    report = syncing("notes")
    assert [failure.uri for failure in report.failures] == ["record:notes/4", "record:notes/5"]
    assert syncing.texts() == [
        "1: Schöne Fähre.",
        "2: Die Brücke hält über den Fluss.",
        "3: Das Meer.\n\nGröße zählt für jede Brücke.",
    ]
    about_it = syncing.rows("SELECT title, metadata->>'by' FROM document_version WHERE metadata ? 'by'")
    assert about_it == [("Fähre", "Jörg")]


def test_a_row_without_a_text_is_no_document(syncing: Syncing, tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    run = run_sqlite(path)
    run("CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT)")
    run("INSERT INTO note (body) VALUES ('A rope holds.'), ('A sail pulls.'), ('An anchor stays.'), (NULL), (' ')")
    query = "SELECT id, body FROM note"
    syncing.declare("notes", type="sql", url=f"sqlite:///{path}", key="id", text="body", query=query)
    report = syncing("notes")
    assert (report.added, report.failures) == (3, [])
    run("UPDATE note SET body = NULL WHERE id = 1")
    run("UPDATE note SET body = '' WHERE id = 2")
    report = syncing("notes", prune=True, max_prune_share=1.0)
    assert (report.unchanged, report.deleted, report.failures) == (1, 2, [])
    assert syncing.texts() == ["3: An anchor stays."]


def test_what_no_text_of_postgresql_can_hold_costs_no_row(syncing: Syncing, tmp_path: Path) -> None:
    path = tmp_path / "odd.db"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE note (id INTEGER PRIMARY KEY, title TEXT, body TEXT, by TEXT)")
        rows = [("Ro\0pe", "A rope holds.", "An\0n"), ("Sail", "A sail pulls.", "Ben")]
        connection.executemany("INSERT INTO note (title, body, by) VALUES (?, ?, ?)", rows)
    connection.close()
    query = "SELECT id, title, body, by FROM note"
    about = {"type": "sql", "url": f"sqlite:///{path}", "key": "id", "text": "body", "title": "title"}
    syncing.declare("notes", **about, query=query, metadata=["by"])
    report = syncing("notes")
    assert (report.added, report.failures) == (2, [])
    about_them = syncing.rows("SELECT title, metadata->>'by' FROM document_version ORDER BY title")
    assert about_them == [("Rope", "Ann"), ("Sail", "Ben")]


def test_documents_of_mongodb_are_synced_with_edits_and_deletes(syncing: Syncing, mongo_server: MongoServer) -> None:
    ids = [bson.ObjectId() for _ in range(5)]
    day = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    pages = [
        {"_id": one, "body": f"Page {number} of the wiki.", "about": {"by": "Ada", "at": day}, "live": True}
        for number, one in enumerate(ids)
    ]
    mongo_server.documents["pages"] = [*pages, {"_id": bson.ObjectId(), "body": "A draft.", "live": False}]
    keys = {"type": "mongodb", "url": mongo_server.url, "database": "wiki", "documents": "pages", "text": "body"}
    syncing.declare("wiki", **keys, filter='{"live": true}', metadata=["about.by", "about.at"])
    report = syncing("wiki")
    assert (report.added, report.failures) == (5, [])
    assert mongo_server.commands.count("getMore") == 2, "batch after batch"
    assert syncing.rows("SELECT DISTINCT metadata FROM document_version") == [
        ({"about.by": "Ada", "about.at": "2026-01-01T00:00:00+00:00"},)
    ]
    pages[0]["body"] = "Another page."
    mongo_server.documents["pages"] = [pages[0], *pages[2:]]
    report = syncing("wiki", prune=True, max_prune_share=0.5)
    assert (report.changed, report.unchanged, report.deleted, report.embedded) == (1, 3, 1, 1)
    mongo_server.refusing = "not authorized on wiki"
    with pytest.raises(SourceUnavailable, match="not authorized on wiki"):
        syncing("wiki", prune=True)
    syncing.declare("wiki", **{**keys, "url": "http://127.0.0.1"})
    with pytest.raises(ConfigurationError, match="not usable"):
        syncing("wiki")
    assert len(syncing.texts()) == 4
