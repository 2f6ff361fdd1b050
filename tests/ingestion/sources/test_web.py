"""The web as a source, against a real server: what is fetched, how politely, and what is never reached."""

import gzip
import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.domain.errors import FileTooLarge, SourceUnavailable, UnreadableFile
from ingestion.loaders.dispatch import load
from ingestion.sources.fetch import Fetched, Fetcher
from ingestion.sources.source import Vanished
from ingestion.sources.web import Page
from tests.fixtures.syncing import Syncing
from tests.fixtures.website import Answer, Website

LOOPBACK = [ip_network("127.0.0.1/32")]
MAX = 10_000


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    """One that may reach the test's own server and nothing else that is private."""
    made = Fetcher(requests_per_s=1000, allowed=LOOPBACK)
    yield made
    made.close()


@pytest.fixture
def strict() -> Iterator[Fetcher]:
    """One that may reach public addresses only."""
    made = Fetcher(requests_per_s=1000)
    yield made
    made.close()


@pytest.fixture
def resolving(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Makes names resolve to addresses, another one each time; returns the list of the names asked for."""

    def set_up(*answers: str) -> list[str]:
        asked: list[str] = []
        real, waiting = socket.getaddrinfo, list(answers)

        def resolve(host: Any, port: Any, *rest: Any, **options: Any) -> Any:
            if not str(host).endswith(".test"):
                return real(host, port, *rest, **options)
            asked.append(host)
            address = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            return real(address, port, *rest, **options)

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        return asked

    return set_up


def test_a_site_is_synced_with_conditional_requests(syncing: Syncing, website: Website) -> None:
    website.page("/", "<main><h1>Home</h1><p>Welcome here.</p></main>")
    website.page("/a", "<main><h1>About</h1><p>About bees.</p></main>")
    website.page("/b.md", "# Bees\n\nThey make honey.", **{"content-type": "text/markdown"})
    website.page("/draft/x", "<p>Not this one.</p>")
    website.sitemap("/a", "/b.md", "/draft/x#top")
    site = website.url
    keys = {"type": "web", "sitemaps": [f"{site}/sitemap.xml"], "urls": [f"{site}/"], "exclude": ["*/draft/*"]}
    syncing.declare(**keys, requests_per_s=100, allow_networks=["127.0.0.0/8"])
    report = syncing()
    assert (report.added, report.failures) == (3, [])
    assert [uri for (uri,) in syncing.rows("SELECT source_uri FROM document ORDER BY 1")] == [
        f"{site}/",
        f"{site}/a",
        f"{site}/b.md",
    ]
    website.asked.clear()
    website.page("/a", "<main><h1>About</h1><p>About wasps.</p></main>")
    del website.pages["/b.md"]
    report = syncing(prune=True, max_prune_share=0.5)
    assert (report.changed, report.unchanged, report.deleted, report.failures) == (1, 1, 1, [])
    assert website.asked[1:] == [("/sitemap.xml", 200), ("/", 304), ("/a", 200), ("/b.md", 404)]
    assert any("wasps" in text for text in syncing.texts())
    website.pages["/sitemap.xml"] = Answer(b"", 500)
    with pytest.raises(SourceUnavailable, match=r"sitemap\.xml cannot be read"):
        syncing(prune=True)
    assert all(agent.startswith("Footnote/") for agent in website.agents)


class Answering(Fetcher):
    """Answers every request with one body of one content type."""

    def __init__(self, content_type: str, body: bytes = b"") -> None:
        super().__init__(requests_per_s=1000)
        self._answer = {"content-type": content_type}, body

    def get(self, url: str, **_options: Any) -> Fetched:
        return Fetched(httpx.URL(url), 200, *self._answer)


@pytest.mark.parametrize(
    ("url", "content_type", "name"),
    [
        ("https://example.org/a.php", "text/html; charset=utf-8", "a.php.html"),
        ("https://example.org/a.csv", "application/vnd.ms-excel", "a.csv"),
        ("https://example.org/a.tsv", "application/vnd.ms-excel", "a.tsv"),
        ("https://example.org/a.XLSX", "application/vnd.ms-excel", "a.XLSX"),
        ("https://example.org/a.php", "application/vnd.ms-excel", "a.php.xls"),
        ("https://example.org/feed", "application/feed+json; charset=utf-8", "feed.json"),
        ("https://example.org/items", "application/geo+json", "items.json"),
        ("https://example.org/items", "text/json", "items.json"),
        ("https://example.org/items", "application/x-ndjson", "items.jsonl"),
        ("https://example.org/items", "application/jsonl; charset=utf-8", "items.jsonl"),
        ("https://example.org/items.ndjson", "application/x-ndjson", "items.ndjson"),
        ("https://example.org/items.php", "application/json", "items.php.json"),
        ("https://example.org/items.jsonl", "application/json", "items.jsonl"),
        ("https://example.org/", "text/html", "example.org.html"),
        ("https://docs.rs", "text/html", "docs.rs.html"),
        ("https://example.sh/", "", "example.sh.txt"),
        ("https://example.rs/", "nonsense", "example.rs.txt"),
        ("https://example.org/a.php?file=1", "application/pdf", "a.php.pdf"),
        ("https://example.org/a.HTM", "text/html", "a.HTM"),
        ("https://example.org/a.md", "text/plain", "a.md"),
        ("https://example.org/a.md", "", "a.md"),
        ("https://example.org/a.ipynb", "application/json", "a.ipynb"),
        ("https://example.org/a.epub", "application/octet-stream", "a.epub"),
        ("https://example.org/a.docx", "application/zip", "a.docx"),
        ("https://example.org/about", "text/html", "about.html"),
        ("https://example.org/about", "text/plain", "about.txt"),
    ],
)
def test_the_content_type_tells_the_format_before_the_path_and_never_the_host(
    url: str, content_type: str, name: str
) -> None:
    content = Page(url, Answering(content_type)).read(max_bytes=MAX)
    assert content is not None
    assert content.name == name


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/html; charset=iso-8859-2", "<p>Žluťoučký kůň</p>".encode("iso-8859-2"), "Žluťoučký kůň"),
        ("text/plain; charset=ISO-2022-JP", "燈台の光".encode("iso-2022-jp"), "燈台の光"),
        ('text/html; charset="iso-8859-1"', "<p>Žluťoučký kůň</p>".encode(), "Žluťoučký kůň"),
        ("text/html; charset=ISO-8859-1", "<p>50 € — “net”</p>".encode("cp1252"), "50 € — “net”"),
        ("text/html; charset=windows-1252", b"<p>50 \x80, \x8d\x81\x9d Caf\xe9</p>", "50 €, \x8d\x81\x9d Café"),
        ("text/plain; charset=iso-8859-1", b"50 \x80, \x8d\x81 Caf\xe9", "50 €, \x8d\x81 Café"),
        ("text/html; charset=nonsense", "<meta charset=windows-1250><p>Žluť</p>".encode("cp1250"), "Žluť"),
        ("text/html; charset=punycode", "<meta charset=windows-1250><p>Žluť</p>".encode("cp1250"), "Žluť"),
    ],
)
def test_the_encoding_is_that_of_the_header(content_type: str, body: bytes, text: str) -> None:
    content = Page("https://example.org/a", Answering(content_type, body)).read(max_bytes=MAX)
    assert content is not None
    assert text in load(Path(content.name), content.data).text


def test_a_page_whose_url_looks_like_a_file_in_another_is_kept(syncing: Syncing, website: Website) -> None:
    for path in ("/app", "/app!/one", "/app!/two!/three", "/other!/four"):
        website.page(path, f"<main><p>The page {path} tells of it.</p></main>")
    pages = [website.url + path for path in website.pages]
    declared = {"type": "web", "requests_per_s": 100, "allow_networks": ["127.0.0.1"]}
    syncing.declare(**declared, urls=pages)
    assert syncing().added == 4
    syncing.declare(**declared, urls=pages[:3])
    website.page("/app", "<main><p>The page was written anew.</p></main>")
    report = syncing(prune=True, max_prune_share=1.0)
    assert (report.changed, report.unchanged, report.deleted) == (1, 2, 1)
    assert [uri for (uri,) in syncing.rows("SELECT source_uri FROM document ORDER BY 1")] == pages[:3]
    website.asked.clear()
    assert syncing(prune=True).unchanged == 3
    assert [status for _, status in website.asked[1:]] == [304, 304, 304]


def test_a_page_that_became_empty_has_vanished(syncing: Syncing, website: Website) -> None:
    website.page("/a", "<p>Bees make honey.</p>")
    website.pages["/b"] = Answer(b"<p>Cats sleep.</p>", 200, {"content-type": "text/html"})
    urls = [f"{website.url}/a", f"{website.url}/b"]
    syncing.declare(type="web", urls=urls, requests_per_s=100, allow_networks=["127.0.0.0/8"])
    assert syncing().added == 2
    website.pages["/b"].body = b" \n"
    report = syncing(prune=True, max_prune_share=0.5)
    assert (report.failures, report.deleted, syncing.texts()) == ([], 1, ["a: Bees make honey."])


def test_sitemaps_of_sitemaps_packed_ones_and_entities(syncing: Syncing, website: Website) -> None:
    website.page("/a", "<p>Page a.</p>")
    website.sitemap("/a", at="/one.xml")
    website.pages["/one.xml.gz"] = Answer(gzip.compress(website.pages["/one.xml"].body))
    website.sitemap("/one.xml.gz", "/index.xml", at="/index.xml", kind="sitemapindex", entry="sitemap")
    declared = {"type": "web", "requests_per_s": 100, "allow_networks": ["127.0.0.1"]}
    syncing.declare(**declared, sitemaps=[f"{website.url}/index.xml"])
    assert syncing().added == 1
    bomb = b'<!DOCTYPE u [<!ENTITY a SYSTEM "file:///etc/passwd">]><urlset><url><loc>&a;</loc></url></urlset>'
    website.pages["/index.xml"] = Answer(bomb)
    assert syncing().vanished == 1, "no entity is followed, so there is no page"


@pytest.mark.parametrize(
    "sitemap",
    [
        "<urlset><url><loc>{site}/a</loc></url></urlset>",
        '<urlset xmlns="https://www.sitemaps.org/schemas/sitemap/0.9"><url><loc>\n{site}/a\n</loc></url></urlset>',
        '\n<?xml version="1.0"?><urlset xmlns="http://www.google.com/schemas/sitemap/0.84"><url><loc>/a</loc></url></urlset>',
        "\ufeff{site}/a\r\n",
        (
            '<urlset xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"><url><loc>{site}/a</loc>'
            "<image:image><image:loc>{site}/a.png</image:loc></image:image></url></urlset>"
        ),
    ],
)
def test_sitemaps_as_sites_write_them(syncing: Syncing, website: Website, sitemap: str) -> None:
    website.page("/a", "<p>Page a.</p>")
    website.pages["/sitemap.xml"] = Answer(sitemap.replace("{site}", website.url).encode())
    declared = {"type": "web", "requests_per_s": 100, "allow_networks": ["127.0.0.1"]}
    syncing.declare(**declared, sitemaps=[f"{website.url}/sitemap.xml"])
    report = syncing()
    assert (report.added, report.failures) == (1, [])


def test_an_address_that_is_none_costs_that_page_alone(syncing: Syncing, website: Website) -> None:
    website.page("/a", "<p>Page a.</p>")
    website.pages["/sitemap.xml"] = Answer(f"http://[a\n{website.url}/a#top\n".encode())
    declared = {"type": "web", "requests_per_s": 100, "allow_networks": ["127.0.0.1"]}
    syncing.declare(**declared, sitemaps=[f"{website.url}/sitemap.xml"])
    report = syncing()
    assert (report.added, [failure.uri for failure in report.failures]) == (1, ["http://[a"])


def test_what_is_no_sitemap_makes_no_page_vanish(syncing: Syncing, website: Website) -> None:
    website.page("/a", "<p>Page a.</p>")
    website.sitemap("/a")
    declared = {"type": "web", "requests_per_s": 100, "allow_networks": ["127.0.0.1"]}
    syncing.declare(**declared, sitemaps=[f"{website.url}/sitemap.xml"])
    assert syncing().added == 1
    website.pages["/sitemap.xml"] = Answer(b"<html><body><p>Nothing is here.</p></body></html>")
    with pytest.raises(SourceUnavailable, match="is no sitemap, it begins with <html>"):
        syncing()
    assert syncing.texts() == ["a: Page a."]


def test_robots_txt_is_obeyed(fetcher: Fetcher, website: Website) -> None:
    website.pages["/robots.txt"] = Answer(
        b"User-agent: *\nDisallow: /\n\nUser-agent: Footnote\nDisallow: /private*.html$\n"
    )
    website.page("/open", "open")
    website.page("/private/x.html", "secret")
    website.pages["/leads"] = Answer(b"", 302, {"location": "/private/x.html"})
    assert fetcher.get(f"{website.url}/open", max_bytes=MAX).body == b"open"
    for path in ("/private/x.html", "/leads"):
        with pytest.raises(UnreadableFile, match=r"robots\.txt keeps Footnote"):
            fetcher.get(website.url + path, max_bytes=MAX)
    assert "/private/x.html" not in {path for path, _ in website.asked}


def test_robots_txt_may_begin_with_the_mark_of_windows_and_pages_may_be_packed(
    fetcher: Fetcher, website: Website
) -> None:
    website.pages["/robots.txt"] = Answer("\ufeffUser-agent: *\nDisallow: /private\n".encode())
    website.page("/private", "secret")
    with pytest.raises(UnreadableFile, match=r"robots\.txt keeps Footnote"):
        fetcher.get(f"{website.url}/private", max_bytes=MAX)
    website.pages["/packed"] = Answer(gzip.compress(b"open"), 200, {"content-encoding": "GZIP"})
    assert fetcher.get(f"{website.url}/packed", max_bytes=MAX).body == b"open"


def test_nothing_is_fetched_when_robots_txt_fails(fetcher: Fetcher, website: Website) -> None:
    website.pages["/robots.txt"] = Answer(b"", 500)
    with pytest.raises(UnreadableFile, match="could not be read"):
        fetcher.get(f"{website.url}/a", max_bytes=MAX)


def test_each_host_is_asked_no_faster_than_it_wants(website: Website) -> None:
    slept: list[float] = []
    fetcher = Fetcher(requests_per_s=10, allowed=LOOPBACK, sleep=slept.append)
    website.pages["/robots.txt"] = Answer(b"User-agent: *\nCrawl-delay: 7\n")
    website.page("/a", "a")
    website.pages["/busy"] = Answer(b"", 429, {"retry-after": "30"})
    for _ in range(2):
        fetcher.get(f"{website.url}/a", max_bytes=MAX)
    assert 6 < slept[-1] <= 7
    with pytest.raises(UnreadableFile, match="status 429"):
        fetcher.get(f"{website.url}/busy", max_bytes=MAX)
    assert slept.count(30) == 2, "a busy server is asked three times"
    fetcher.close()


def test_limits_and_statuses(fetcher: Fetcher, website: Website) -> None:
    website.page("/big", "x" * (MAX + 1))
    website.pages["/round"] = Answer(b"", 301, {"location": "/round"})
    website.pages["/gone"] = Answer(b"", 410)
    website.pages["/broken"] = Answer(b"", 500)
    website.pages["/packed"] = Answer(b"x", 200, {"content-encoding": "br"})
    website.pages["/damaged"] = Answer(gzip.compress(b"x" * 99)[:-9], 200, {"content-encoding": "gzip"})
    website.pages["/bomb"] = Answer(gzip.compress(b"x" * 10 * MAX), 200, {"content-encoding": "gzip"})
    kinds = {"/big": FileTooLarge, "/round": UnreadableFile, "/gone": Vanished, "/broken": UnreadableFile}
    for path, kind in (kinds | {"/packed": UnreadableFile, "/damaged": UnreadableFile, "/bomb": FileTooLarge}).items():
        with pytest.raises(kind):
            fetcher.get(website.url + path, max_bytes=MAX)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "0.0.0.0",
        "0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "2852039166",
        "192.0.0.192",
        "100.100.100.200",
        "168.63.129.16",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::10.0.0.1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::1]",
        "[fe80::1]",
        "[fec0::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "１２７.０.０.１",
        "127。0。0。1",
    ],
)
def test_an_address_that_is_not_public_is_refused(strict: Fetcher, website: Website, host: str) -> None:
    with pytest.raises(UnreadableFile, match=r"not an address of the public internet|is not an address"):
        strict.get(f"http://{host}:{website.port}/", max_bytes=MAX)
    assert website.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/",
        "gopher://127.0.0.1/",
        "data:text/plain,x",
        "unix:/run/x",
        "/etc/passwd",
    ],
)
def test_other_schemes_are_refused_also_behind_a_redirect(fetcher: Fetcher, website: Website, url: str) -> None:
    with pytest.raises(UnreadableFile, match="is not an http"):
        fetcher.get(url, max_bytes=MAX)
    if ":" in url:
        website.pages["/leads"] = Answer(b"", 302, {"location": url})
        with pytest.raises(UnreadableFile, match="is not an http"):
            fetcher.get(f"{website.url}/leads", max_bytes=MAX)


@pytest.mark.parametrize("host", ["10.0.0.1", "[::1]", "169.254.169.254", "127.0.0.2", "0x7f.2"])
def test_a_redirect_to_a_private_address_is_refused(fetcher: Fetcher, website: Website, host: str) -> None:
    website.pages["/leads"] = Answer(b"", 302, {"location": f"http://{host}:{website.port}/secret"})
    website.page("/secret", "secret")
    with pytest.raises(UnreadableFile, match="not an address of the public internet"):
        fetcher.get(f"{website.url}/leads", max_bytes=MAX)
    assert ("/secret", 200) not in website.asked


def test_a_name_that_leads_to_a_private_address_is_refused(
    strict: Fetcher, website: Website, resolving: Callable[..., list[str]]
) -> None:
    resolving("127.0.0.1")
    with pytest.raises(UnreadableFile, match=r"rebound\.test \(127\.0\.0\.1\) is not an address of the public"):
        strict.get(f"http://rebound.test:{website.port}/", max_bytes=MAX)
    assert website.asked == []


def test_the_connection_goes_to_the_address_that_was_checked(
    website: Website, resolving: Callable[..., list[str]]
) -> None:
    """The name is public for the test's purposes at the first look and another machine's at each later one."""
    asked = resolving("127.0.0.1", "127.0.0.2", "127.0.0.2")
    website.pages["/robots.txt"] = Answer(b"")
    website.page("/", "the checked one")
    fetcher = Fetcher(requests_per_s=1000, allowed=LOOPBACK)
    assert fetcher.get(f"http://rebound.test:{website.port}/", max_bytes=MAX).body == b"the checked one"
    assert len(asked) == 1, "one look for one connection"
    fetcher.close()
    again = Fetcher(requests_per_s=1000, allowed=LOOPBACK)
    with pytest.raises(UnreadableFile, match=r"127\.0\.0\.2"):
        again.get(f"http://rebound.test:{website.port}/", max_bytes=MAX)
    again.close()


def test_one_private_address_among_several_is_enough_to_refuse(
    strict: Fetcher, website: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = ["8.8.8.8", "127.0.0.1"]
    entry = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: [(*entry, (one, website.port)) for one in addresses])
    with pytest.raises(UnreadableFile, match="not an address of the public internet"):
        strict.get(f"http://two.test:{website.port}/", max_bytes=MAX)


def test_proxies_of_the_environment_do_not_lead_around_the_check(
    strict: Fetcher, website: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, website.url)
    made = Fetcher(requests_per_s=1000)
    with pytest.raises(UnreadableFile, match="not an address of the public internet"):
        made.get("http://10.0.0.1/", max_bytes=MAX)
    made.close()
    assert website.asked == []


def test_credentials_in_an_address_are_refused(fetcher: Fetcher, website: Website) -> None:
    with pytest.raises(UnreadableFile, match="user name"):
        fetcher.get(f"http://me:secret@127.0.0.1:{website.port}/", max_bytes=MAX)
