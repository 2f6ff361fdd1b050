"""HTML: the main content of a page as Markdown-like text."""

import re

from lxml import etree

from app.domain.document import ParsedDocument
from app.domain.errors import DamagedFile, EmptyFile
from ingestion.loaders.characters import clean, decode
from ingestion.loaders.declared import declared
from ingestion.loaders.html_text import is_tick, write
from ingestion.loaders.reader import StructureReader
from ingestion.loaders.title import choose_title

MEDIA_TYPE = "text/html"

_DECLARED = re.compile(rb"""<(?:meta\b[^>]*?\bcharset|\?xml\b[^>]*?\bencoding)\s*=\s*["']?\s*([\w-]+)""", re.IGNORECASE)
_JUNK_TAGS = {
    *("script", "style", "noscript", "template", "svg", "canvas", "iframe", "object", "embed", "audio", "video", "map"),
    *("nav", "aside", "footer", "dialog", "menu", "button", "input", "select", "textarea", "datalist"),
}
_JUNK_ROLES = {
    *("navigation", "banner", "contentinfo", "search", "complementary", "dialog", "alertdialog", "menu", "menubar"),
    *("toolbar", "tablist"),
}
# what generators of pages add to the author's text: heading anchors, edit links, line numbers, boxes of links
_JUNK_CLASSES = {
    *("headerlink", "heading-anchor", "anchor-link", "hash-link", "mw-editsection", "navbox", "mw-jump-link"),
    *("linenos", "lineno", "linenodiv", "lnt", "ln", "line-number", "hljs-ln-numbers", "rouge-gutter", "noprint"),
    *("sidebar", "catlinks", "breadcrumb", "breadcrumbs", "skip-link"),
    *("cookie-banner", "cookie-bar", "cookie-consent", "cookie-notice", "onetrust-consent-sdk", "cybotcookiebotdialog"),
    *("footer", "site-footer", "page-footer", "colophon"),
}
# what pages call the links to others of the site; a menu of dishes has the same name, and few links
_LINK_CLASSES = {
    *("nav", "navbar", "navigation", "topnav", "sidenav", "site-nav", "site-navigation", "main-nav", "main-navigation"),
    *("menu", "main-menu", "mainmenu", "primary-menu", "nav-menu", "header", "site-header", "masthead", "topbar"),
    *("pagination", "pager", "social", "social-links", "share-buttons", "language-switcher"),
}
_OPENED = {"tabpanel", "region"}  # what is one click away
_LINKS = 0.7  # so much of the text within is that of links
_AUTHORS = ("author", "article:author", "dc.creator", "dcterms.creator", "citation_author")
_DAYS = ("article:published_time", "date", "dc.date", "dcterms.created", "dcterms.date", "citation_publication_date")
_HEAD_TAGS = {"title", "meta", "link", "style", "script", "base", "noscript", "template"}
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_BOOK_TAGS = {"aside", "header"}
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_SMALLEST_MAIN = 0.1  # a <main> with less of the page's text is a shell around something else


class HtmlReader(StructureReader):
    """Reads web pages; nothing they link to is fetched, nothing they contain is run.

    The pages of a `book` have no furniture: headers, asides (its footnotes) and what stands around an article are text.
    """

    def __init__(self, *, book: bool = False) -> None:
        self._book = book

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """Headings as `#`, lists, tables and code as Markdown writes them; navigation and furniture left out."""
        declared = _DECLARED.search(data[:4096])
        page = parse_tree(clean(decode(data, declared[1].decode("ascii") if declared else None)))
        title = page.findtext(".//title") or ""
        about = _about(page)
        _drop_head(page)
        _drop_junk(page, book=self._book)
        text, headings = write(_body(page) if self._book else _main_content(page))
        return ParsedDocument(
            text=text,
            title=choose_title(text, headings, title, name),
            media_type=MEDIA_TYPE,
            headings=headings,
            metadata=about,
        )


def _about(page: etree._Element) -> dict[str, object]:
    """What the page's head says of author and day, and its root of the language."""
    said = dict[str, str]()
    for meta in page.iter("meta"):
        name, content = (meta.get("name") or meta.get("property") or "").lower(), (meta.get("content") or "").strip()
        if content and not content.startswith(("http:", "https:")):  # an author's page is no name
            said.setdefault(name, content)
    author = next((said[name] for name in _AUTHORS if name in said), "")
    day = next((said[name] for name in _DAYS if name in said), "")
    return declared(author=author, date=day, language=page.get("lang") or page.get("xml:lang") or "")


def parse_tree(markup: str) -> etree._Element:
    """The tree of a page, as forgiving as a browser. Raises EmptyFile, DamagedFile."""
    # The tree's size is bounded by the file's; without huge_tree everything below 256 levels is dropped in silence.
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True, huge_tree=True)
    page = etree.fromstring(markup.encode(), parser)
    if page is None:
        raise EmptyFile
    if any("depth" in entry.message for entry in parser.error_log.filter_from_fatals()):
        raise DamagedFile("The page's elements are nested too deeply to be read; it may be generated wrongly.")
    return page


def _drop_head(page: etree._Element) -> None:
    """Take the head out and leave what the parser put there from the body of a page that writes neither tag."""
    for head in list(page.iter("head")):
        content = [child for child in head if child.tag not in _HEAD_TAGS]
        head.getparent().remove(head)
        if content:
            body = page.find("body")
            if body is None:
                body = etree.SubElement(page, "body")
            content[-1].tail, body.text = (content[-1].tail or "") + (body.text or ""), None
            body[:0] = content


def _drop_junk(page: etree._Element, *, book: bool) -> None:
    for element in list(page.iter(etree.Element)):
        kept = book and (element.tag in _BOOK_TAGS or "sidebar" in element.get("class", "").split())
        if not kept and element.getparent() is not None and _is_junk(element):
            _remove(element)
    for heading in page.iter(*_HEADINGS):
        for link in list(heading.iter("a")):  # to the heading itself
            if link.get("href", "").startswith("#") and not any(map(str.isalnum, "".join(link.itertext()))):
                _remove(link)
    for element in [] if book else list(page.iter("header")):  # its headings and what is said with them, without links
        element[:] = list(element.iter(*_HEADINGS, "p"))


def _is_junk(element: etree._Element) -> bool:
    if is_tick(element) and element.get("disabled") is not None:  # of a list of tasks, and nothing to choose by
        return False
    if element.tag in _JUNK_TAGS or element.get("role") in _JUNK_ROLES:
        return element.tag != "button" or not _is_question(element)
    if element.tag == "header":  # of an article it holds the title; of a page, the navigation
        return not _is_heading(element)
    if element.tag in {"html", "body"}:  # some hide it until a script has run
        return False
    if _is_hidden(element) and element.get("role") not in _OPENED:
        return True
    called = {*element.get("class", "").lower().split(), element.get("id", "").lower()}
    return not _JUNK_CLASSES.isdisjoint(called) or (not _LINK_CLASSES.isdisjoint(called) and _is_of_links(element))


def _is_question(button: etree._Element) -> bool:
    """Whether a button is all that a heading has: a click on it shows the answer."""
    heading = next(button.iterancestors(*_HEADINGS, "dt", "summary"), None)
    return heading is not None and _size(heading) == _size(button)


def _is_hidden(element: etree._Element) -> bool:
    if element.get("hidden", "until-found").lower() != "until-found" or element.get("aria-hidden") == "true":
        return True
    return _HIDDEN.search(element.get("style", "")) is not None


def _is_of_links(element: etree._Element) -> bool:
    linked = sum(_size(link) for link in element.iter("a"))
    return linked > _LINKS * _size(element) and next(element.iter(*_HEADINGS), None) is None


def _is_heading(header: etree._Element) -> bool:
    """Whether a header says what follows it is about, rather than where else one can go."""
    if header.find(".//h1") is not None or next(header.iterancestors("article", "section", "main"), None) is not None:
        return True
    return next(header.iter(*_HEADINGS), None) is not None and header.find(".//nav") is None


def _remove(element: etree._Element) -> None:
    """Take an element out and leave the text that follows it."""
    parent, previous = element.getparent(), element.getprevious()
    if element.tail:
        if previous is not None:
            previous.tail = (previous.tail or "") + element.tail
        else:
            parent.text = (parent.text or "") + element.tail
    parent.remove(element)


def _main_content(page: etree._Element) -> etree._Element:
    """The element that holds what the page is about: its main, its only article, or the whole body."""
    whole = _body(page)
    mains = [e for e in whole.iter(etree.Element) if e.tag == "main" or e.get("role") == "main"]
    articles = list(whole.iter("article"))
    for candidates in (mains, articles):
        if len(candidates) == 1 and _size(candidates[0]) >= max(1, _SMALLEST_MAIN * _size(whole)):
            return candidates[0]
    return whole


def _body(page: etree._Element) -> etree._Element:
    body = page.find("body")
    return body if body is not None else page


def _size(element: etree._Element) -> int:
    return sum(len(text.strip()) for text in element.itertext())
