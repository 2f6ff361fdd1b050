"""Web: pages by their URLs, and those that sitemaps name."""

import codecs
import gzip
import mimetypes
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from fnmatch import fnmatchcase
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote, urljoin

from lxml import etree

from app.domain.errors import SourceUnavailable, UnreadableFile
from ingestion.loaders.formats import ARCHIVE, CSV, JSON, NOTEBOOK, ODS, PLAIN, SUFFIXES, XLS, XLSX
from ingestion.loaders.json_fields import JsonFields
from ingestion.sources.fetch import Fetched, Fetcher
from ingestion.sources.source import Content

MAX_SITEMAP_BYTES = 52_428_800  # 50 MB, uncompressed: sitemaps.org
MAX_SITEMAPS = 1_000
_ENTRIES = {"urlset": "url", "sitemapindex": "sitemap"}  # in whatever namespace: sites write it in many ways
_BEFORE = codecs.BOM_UTF8 + b" \t\r\n"  # what XML would take no declaration after
_URL = re.compile("https?://", re.IGNORECASE)
_GZIP = b"\x1f\x8b"
_VAGUE = {PLAIN, ARCHIVE}  # what content types say of files whose suffix tells more
_JSON_NAMES = {JSON, NOTEBOOK}  # a notebook is JSON too; any other suffix is that of the program that answers
_JSON_LINES = re.compile(r"(?:application|text)/(?:x-)?(?:ndjson|jsonl|json-?lines)")
_SHEETS = {CSV, XLSX, ODS}
_NO_CHARSETS = {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "utf-7"}  # Python's, and no browser's

# As browsers decode (WHATWG, Encoding Standard): these are Windows-1252, whose unused bytes are control characters.
_WINDOWS = {"iso8859-1", "ascii", "cp1252"}
_UNUSED = {0xDC00 + byte: byte for byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D)}  # by what `surrogateescape` makes of them


@dataclass(frozen=True, slots=True)
class Page:
    """A page, known by its URL."""

    uri: str
    fetcher: Fetcher
    json_fields: JsonFields | None = None

    def read(self, *, max_bytes: int, known: str | None = None) -> Content | None:
        """The page's bytes, None when the server says that it is as it was at the stamp `known`.

        Raises FileTooLarge, Vanished, UnreadableFile.
        """
        mark = "" if self.json_fields is None else self.json_fields.mark
        found = self.fetcher.get(self.uri, max_bytes=max_bytes, headers=_conditions(known, mark))
        if found.status != 200:
            return None
        etag, modified = found.headers.get("etag", ""), found.headers.get("last-modified", "")
        stamp = "\t".join(filter(None, (f"{etag}\t{modified}", mark))) if etag or modified else None
        media_type = _media_type(found)
        name, fields = _name(found, media_type), self.json_fields
        return Content(name, _in_utf8(found.body, media_type), stamp, json_fields=fields and fields.within(name))


def _conditions(known: str | None, mark: str) -> dict[str, str]:
    """Headers that ask for a page only if it changed; none when it was read with other JSON fields than now."""
    etag, modified, read_as = [*(known or "").split("\t"), "", "", ""][:3]
    named = {"if-none-match": etag, "if-modified-since": modified} if read_as == mark else {}
    return {name: value for name, value in named.items() if value}


def _media_type(found: Fetched) -> Message:
    """The header that says what a page is."""
    message = Message()
    message["content-type"] = found.headers.get("content-type", "")
    return message


def _name(found: Fetched, media_type: Message) -> str:
    """A file name whose suffix tells the format: that of the content type, or where it says little the path's.

    The host's name has no suffix: `example.org` is no Org file.
    """
    name = unquote(found.url.path).rstrip("/").rpartition("/")[2]
    kind = media_type.get_content_type()
    suffix = _suffix(kind)
    told, named = SUFFIXES.get(suffix), SUFFIXES.get(Path(name).suffix.lower())
    if told is XLS and named in _SHEETS:  # as servers on Windows say of them
        return name
    more = named in _JSON_NAMES if told is JSON else told in _VAGUE or told is named
    if told is None or (named is not None and more):
        return name or f"{found.url.host}.txt"
    return (name or found.url.host) + suffix


def _suffix(kind: str) -> str:
    """The suffix of files of a content type; empty when it is not known."""
    if kind == "text/json" or kind.endswith("+json"):
        return ".json"
    return ".jsonl" if _JSON_LINES.fullmatch(kind) else mimetypes.guess_extension(kind) or ""


def _in_utf8(body: bytes, media_type: Message) -> bytes:
    """A text in UTF-8, marked so, when it is in another encoding that the header names; else the body as it is.

    What is valid UTF-8 is that, whatever the header says: many servers send one charset for all.
    """
    charset = media_type.get_content_charset()
    if charset is None or media_type.get_content_maintype() != "text":
        return body
    try:
        encoding = codecs.lookup(charset).name
        if encoding in _NO_CHARSETS or (_is_utf8(body) and not body.isascii()):
            return body
        if encoding in _WINDOWS:
            text = body.decode("cp1252", "surrogateescape").translate(_UNUSED)
        else:
            text = body.decode(encoding)
    except (LookupError, UnicodeError):
        return body
    return body if text.isascii() else codecs.BOM_UTF8 + text.encode("utf-8", "replace")


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class WebSource:
    """Pages named one by one and in sitemaps; `include` and `exclude` are patterns of whole URLs (`*`, `?`, `[…]`)."""

    fetcher: Fetcher
    urls: Sequence[str]
    sitemaps: Sequence[str]
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    max_pages: int = 10_000
    json_fields: JsonFields | None = None

    def items(self) -> list[Page]:
        """The pages. Raises SourceUnavailable when a sitemap cannot be read, or there are more pages than allowed."""
        listed = (url.partition("#")[0] for url in (*self.urls, *self._in_sitemaps()))
        found = dict.fromkeys(url for url in listed if self._wanted(url))
        if len(found) > self.max_pages:
            raise SourceUnavailable(
                f"There are {len(found):,} pages, more than max_pages ({self.max_pages:,}); nothing was changed."
            )
        return [Page(url, self.fetcher, self.json_fields) for url in found]

    def close(self) -> None:
        """Close the connections."""
        self.fetcher.close()

    def _wanted(self, url: str) -> bool:
        included = not self.include or any(fnmatchcase(url, pattern) for pattern in self.include)
        return included and not any(fnmatchcase(url, pattern) for pattern in self.exclude)

    def _in_sitemaps(self) -> Iterator[str]:
        waiting, seen = list(self.sitemaps), set[str]()
        while waiting:
            url = waiting.pop(0)
            if url in seen:
                continue
            seen.add(url)
            if len(seen) > MAX_SITEMAPS:
                raise SourceUnavailable(f"There are more than {MAX_SITEMAPS:,} sitemaps; nothing was changed.")
            pages, further = self._sitemap(url)
            waiting += further
            yield from pages

    def _sitemap(self, url: str) -> tuple[list[str], list[str]]:
        """The pages and the further sitemaps that one names."""
        try:
            body = _unpacked(self.fetcher.get(url, max_bytes=MAX_SITEMAP_BYTES).body).lstrip(_BEFORE)
            if listed := _lines(body):
                return listed, []
            root = etree.fromstring(body, etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False))
        except (UnreadableFile, etree.XMLSyntaxError, OSError, EOFError) as error:
            raise SourceUnavailable(f"The sitemap {url} cannot be read: {error} Nothing was changed.") from error
        kind = etree.QName(root).localname
        if kind not in _ENTRIES:
            raise SourceUnavailable(f"{url} is no sitemap, it begins with <{kind}>. Nothing was changed.")
        named = (str(place.xpath("string()")).strip() for place in root.iterfind(f"{{*}}{_ENTRIES[kind]}/{{*}}loc"))
        pages = [place if _URL.match(place) else urljoin(url, place) for place in named if place]
        return ([], pages) if kind == "sitemapindex" else (pages, [])


def _lines(body: bytes) -> list[str]:
    """The pages of a sitemap of text, a URL a line; none where it is another."""
    listed = body.decode(errors="replace").split()
    return listed if all(_URL.match(line) for line in listed) else []


def _unpacked(body: bytes) -> bytes:
    """A sitemap as it is, or out of gzip. Raises OSError when it is larger than allowed."""
    if not body.startswith(_GZIP):
        return body
    with gzip.GzipFile(fileobj=BytesIO(body)) as packed:
        unpacked = packed.read(MAX_SITEMAP_BYTES + 1)
    if len(unpacked) > MAX_SITEMAP_BYTES:
        raise OSError(f"it has more than {MAX_SITEMAP_BYTES:,} bytes.")
    return unpacked
