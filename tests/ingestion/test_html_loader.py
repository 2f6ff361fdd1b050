"""HTML loader: the content of a page as readable text, and nothing else of it."""

from pathlib import Path

import pytest

from app.domain.document import ParsedDocument
from app.domain.errors import DamagedFile, UnreadableFile
from ingestion.loaders.dispatch import load


def page(body: str, head: str = "") -> ParsedDocument:
    document = load(Path("a.html"), f"<!doctype html><html><head>{head}</head><body>{body}</body></html>".encode())
    for heading in document.headings:
        assert document.text[heading.char_start :].startswith(f"{'#' * heading.level} {heading.title}\n")
    return document


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One\n  two&nbsp;three<br>four</p>five<p>six", "One two three\nfour\n\nfive\n\nsix"),
        ("<p>Call <code>run()</code>, <b>now</b>.</p>", "Call `run()`, now."),
        ("<ul><li>a<li><p>b</p><p>c</p><ol start=3><li>d<li>e</ol></ul>", "- a\n- b\n  c\n  3. d\n  4. e"),
        ("<pre class='language-python'>\ndef f():\n\n    pass\n</pre>", "```python\ndef f():\n\n    pass\n```"),
        ("<div class='highlight-sh'><pre><span>a<br>b</span></pre></div>", "```sh\na\nb\n```"),
        ("<pre>``` inside</pre>", "````\n``` inside\n````"),
        ("<blockquote><p>a</p><p>b</p></blockquote>", "> a\n>\n> b"),
        ("<dl><dt>Term<dd>Meaning</dl>", "**Term**\n\nMeaning"),
        ("<table><tr><th>a<th>b<tr><td>1|2<td>3</table>", "| a | b |\n| --- | --- |\n| 1\\|2 | 3 |"),
        ("<table><caption>T</caption><tr><td colspan=2>a<td>b<tr><td>1<td><ul><li>x<li>y</ul></table>",
         "T\n\n| a |  | b |\n| --- | --- | --- |\n| 1 | x; y |  |"),
        ("<table><tr><td>a<td>b<td>c<tr><td rowspan=2>1<td>2<td rowspan=3>3<tr><td>4<tr><td>5<td>6</table>",
         "| a | b | c |\n| --- | --- | --- |\n| 1 | 2 | 3 |\n| 1 | 4 | 3 |\n| 5 | 6 | 3 |"),
        (f"<table><tr><td>a<td>b<tr><td rowspan={'9' * 5000}>1<td rowspan=0>2<tr><td>3<tr></table>",
         "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 1 | 3 |"),
        ("<table><tr><td><h2>Left</h2><p>One</p><td>Right</table>", "## Left\n\nOne\n\nRight"),
        ("<p>10<sup>6</sup> in 2020<sup><a href=#n>1</a></sup>, H<sub>2</sub>O</p>", "10^6 in 2020[1], H2O"),
        ("<my-card><div>a</div></my-card><my-word>b</my-word>", "a\n\nb"),
        ("<p>a&shy;b&#0;c&#xFEFF;d</p>", "ab\ufffdcd"),
        ("<h2>A <a class=headerlink href=#a>¶</a></h2>", "## A"),
    ],
)  # fmt: skip
def test_markup_becomes_readable_text(html: str, text: str) -> None:
    assert page(html).text == text + "\n"


@pytest.mark.parametrize(
    "junk",
    [
        "<nav>junk</nav>",
        "<header><a href=/>junk</a></header>",
        "<header><nav><h2>junk</h2></nav></header>",
        "<footer>junk</footer>",
        "<aside>junk</aside>",
        "<script>junk</script>",
        "<style>junk</style>",
        "<form><button>junk</button><input value=junk></form>",
        "<div role=navigation>junk</div>",
        "<div hidden>junk</div>",
        "<span aria-hidden=true>junk</span>",
        "<div style='display: none'>junk</div>",
        "<div class='x breadcrumbs'>junk</div>",
        "<div id=menu><ul><li><a href=/>junk</a><li><a href=/>more junk</a></ul></div>",
        "<div class='Nav x'><a href=/>junk</a> | <a href=/>junk</a></div>",
        "<div id=footer>junk</div>",
        "<div class=cookie-notice>junk</div>",
        "<!-- junk -->",
    ],
)
def test_furniture_is_left_out_and_what_follows_it_stays(junk: str) -> None:
    assert page(f"<p>before</p>{junk}after").text == "before\n\nafter\n"


def test_what_is_called_like_furniture_but_holds_text_stays() -> None:
    assert (
        page("<div class=menu><p>Soup, 4 euros, with <a href=/>bread</a>.</div>").text == "Soup, 4 euros, with bread.\n"
    )
    assert page("<p>Choose <b class=menu>File</b>.").text == "Choose File.\n"
    assert page("<div class=header><h1><a href=/>Title</a></h1></div>").text == "# Title\n"
    for attribute in ("class=footer", "class=nav", "style='display: none'"):
        assert load(Path("a.html"), f"<body {attribute}><p><a href=/>Words.</a>".encode()).text == "Words.\n"


def test_the_main_part_of_a_page_is_taken() -> None:
    main = "<main><header><h1>Title</h1><ul><li>link</ul><p>By me</p></header><p>Words.</p></main>"
    assert page(f"<div>menu</div>{main}<div>more links</div>").text == "# Title\n\nBy me\n\nWords.\n"
    assert page("<div>menu</div><article><p>Words.</p></article>").text == "Words.\n"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        (
            "<article><header><h2>Router</h2><p>Model X.</p></header><p>Press.</p></article>",
            "## Router\n\nModel X.\n\nPress.",
        ),
        ("<section><header><p>Model X.</p><nav><p>a</p></nav></header><p>Press.</p></section>", "Model X.\n\nPress."),
        ("<header><h2>Router</h2><ul><li>link</ul></header><p>Press.</p>", "## Router\n\nPress."),
    ],
)
def test_a_header_that_says_what_follows_is_read(html: str, text: str) -> None:
    assert page(html).text == text + "\n"


def test_a_page_of_several_articles_or_with_an_empty_main_is_taken_whole() -> None:
    assert page("<article>One</article><article>Two</article>").text == "One\n\nTwo\n"
    assert page("<main></main><div>Words.</div>").text == "Words.\n"


def test_the_first_top_heading_is_the_title_else_that_of_the_page() -> None:
    assert page("<h1>Mill</h1>", "<title>Mill - Site</title>").title == "Mill"
    assert page("<p>Words.</p>", "<title> Mill\n- Site</title>").title == "Mill - Site"


def test_what_the_head_declares_is_metadata() -> None:
    head = "<meta property='article:author' content='https://example.org/ann'><meta name=Author content='Ann\n Lee'>"
    html = f"<html lang=de-AT><head>{head}<meta property='article:published_time' content='2026-03-01T09:00Z'></head>"
    document = load(Path("a.html"), f"{html}<p>Words.</p></html>".encode())
    assert document.metadata == {"author": "Ann Lee", "date": "2026-03-01", "language": "de-AT"}
    assert page("<p>Words.</p>", "<meta name=date content='spring of 2026'>").metadata == {"date": "spring of 2026"}
    for lang in ("english", "x-default", ""):
        assert load(Path("a.html"), f"<html lang='{lang}'><p>Words.</p></html>".encode()).metadata == {}


def test_the_declared_encoding_is_used() -> None:
    html = "<html><head><meta charset='iso-8859-1'></head><body><p>Stra\u00dfe</p></body></html>"
    assert load(Path("a.html"), html.encode("latin-1")).text == "Straße\n"
    html = "<?xml version='1.0' encoding='shift_jis'?><html><body><p>日本語</p></body></html>"
    assert load(Path("a.html"), html.encode("shift_jis")).text == "日本語\n"


def test_entities_of_a_document_type_are_not_expanded(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    html = f"<!DOCTYPE html [<!ENTITY x SYSTEM '{secret.as_uri()}'>]><html><body><p>Words &x;</p></body></html>"
    assert "the secret" not in load(Path("a.html"), html.encode()).text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<pre><code><div>a = 1</div><div>b = 2\n</div><div>c</div></code></pre>", "```\na = 1\nb = 2\nc\n```\n"),
        ("<pre><span class=ln>1</span>a\n<span class=lnt>2</span>b</pre>", "```\na\nb\n```\n"),
        ("<h2>Title <a href=#t>#</a></h2><h3><a href=#u>¶</a>Go on</h3>", "## Title\n\n### Go on\n"),
        ("<h2><a href=#t>Title</a></h2>", "## Title\n"),
        ("One.<br> <br>Two,<br>three.<br><br><br>Four.", "One.\n\nTwo,\nthree.\n\nFour.\n"),
        ("<h2><button>What is X?</button></h2><div role=region hidden>It is Y.", "## What is X?\n\nIt is Y.\n"),
        ("<h2>X <button>Copy</button></h2>", "## X\n"),
        ("<p><del>10</del> 20 euros, <s></s>now", "~~10~~ 20 euros, now\n"),
    ],
)
def test_pages_as_sites_write_them(html: str, text: str) -> None:
    assert page(html).text == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<!DOCTYPE html><title>T</title><nav>x</nav><main><p>Words</main>", "Words\n"),
        (
            "<!doctype html><html lang=en><meta charset=utf-8><title>T</title><section>One</section>Two<p>Three",
            "One\n\nTwo\n\nThree\n",
        ),
        ("<title>T</title><section>One</section><section>Two</section>", "One\n\nTwo\n"),
    ],
)
def test_pages_without_the_tags_that_may_be_left_out(html: str, text: str) -> None:
    document = load(Path("a.html"), html.encode())
    assert (document.title, document.text) == ("T", text)


def test_what_is_one_click_away_is_read() -> None:
    tabs = "<p role=tabpanel>apt<p role=tabpanel hidden>brew<p role=tabpanel style='display: none'>winget"
    assert page(tabs).text == "apt\n\nbrew\n\nwinget\n"
    assert page("<p>Words.<p hidden=until-found>More.").text == "Words.\n\nMore.\n"


def test_a_list_of_tasks_says_which_are_done_and_what_one_may_choose_by_is_left_out() -> None:
    done, chosen = "<li><input type=checkbox{} disabled>{}", "<li><input type=checkbox checked> Red <input name=size>"
    page = f"<p>Tasks:</p><ul>{done.format(' checked', 'Paint')}{done.format('', 'Launch')}{chosen}</ul>"
    assert load(Path("a.html"), page.encode()).text == "Tasks:\n\n- ☒ Paint\n- ☐ Launch\n- Red\n"


def test_the_numbers_of_items_are_those_that_they_are_given() -> None:
    assert page("<ol start=3><li>three<li value=7>seven<li>eight</ol>").text == "3. three\n7. seven\n8. eight\n"
    assert page("<ol type=a start=26><li>z<li>next</ol>").text == "z. z\naa. next\n"
    assert page("<ol type=I><li>a<li value=9>b</ol>").text == "I. a\nIX. b\n"
    assert page("<ul><li value=7>a<li><ul><li>b</ul></ul>").text == "- a\n- b\n"


def test_mathml_without_another_notation_is_written_in_one_line() -> None:
    assert page("<p>So <math><msup><mi>r</mi><mn>2</mn></msup></math> it is.").text == "So r^2 it is.\n"


def test_nesting_beyond_reason_is_refused_and_unclosed_tags_are_not() -> None:
    assert page("<b><font>x" * 900).text.count("x") == 900
    assert page("<div>" * 150 + "deep").text == "deep\n"
    with pytest.raises(DamagedFile, match="nested"):
        page("<div>" * 5000 + "deep")


@pytest.mark.parametrize("tag", ["<div>", "<ul><li>", "<blockquote>", "<table><tr><td>", "<x>"])
def test_no_depth_ends_the_process(tag: str) -> None:
    for depth in (400, 1500):
        try:
            assert page(tag * depth + "deep").text
        except UnreadableFile as refusal:
            assert "get a whole copy" in refusal.message or "nested" in refusal.message  # noqa: PT017
