"""Hostile text: from the model, a document, a title or another reader, it stays text."""

from typing import Any

from playwright.async_api import expect

from tests.browser.conftest import OpenReader
from tests.browser.fake_server import FakeServer
from tests.browser.reader import Reader, foreign
from tests.browser.script import Event, completed

ATTACK = (
    '<img src="https://evil.example/a.png" onerror="window.owned = 1"> <script>window.owned = 1</script> '
    "![x](https://evil.example/b.png) [click](javascript:window.owned=1) [go](https://evil.example/c) "
    '<iframe src="https://evil.example"></iframe> <a href="javascript:window.owned=1">y</a> '
    '<svg onload="window.owned=1">'
)
FORBIDDEN = (
    "img, script, iframe, object, embed, a, form:not(.composer), video, audio, style, [onerror], [onload], [style]"
)
# A page's rules for every element, which reach the widget through its own element, and what its text would inherit.
PAGE_RULES = """* {
  word-break: break-all; overflow-wrap: anywhere; hyphens: auto; line-break: anywhere; tab-size: 20;
  text-align: right; text-align-last: right; text-indent: 2em; text-transform: uppercase; text-emphasis: dot;
  text-shadow: 1px 1px red; writing-mode: vertical-rl; text-orientation: upright;
  letter-spacing: 3px; word-spacing: 9px; font: italic 31px/3 fantasy; white-space: pre; list-style: none inside;
  color: red; caret-color: transparent; -webkit-text-fill-color: red; -webkit-text-stroke: 2px red;
}
footnote-chat { text-decoration: underline; }"""
LOOKS = """() => [".prose p", ".composer textarea", ".moon-button"].map((part) => {
  const style = getComputedStyle(document.querySelector("footnote-chat").shadowRoot.querySelector(part));
  const sized = /size|width|height|origin|^--|inset|^(top|left|right|bottom)$/;
  return Object.fromEntries([...style].filter((name) => !sized.test(name)).map((name) => [name, style[name]]));
})"""


def attack() -> list[Event]:
    passage: dict[str, Any] = {
        "id": "p",
        "document_id": "gone",
        "version_id": "gone",
        "title": ATTACK,
        "uri": "javascript:window.owned=1",
        "heading_path": [ATTACK, ATTACK],
        "page": 1,
        "char_start": 0,
        "char_end": len(ATTACK),
        "text": ATTACK,
        "score": 1.0,
    }
    span = {"sentence_start": 0, "sentence_end": len(ATTACK), "char_start": 0, "char_end": len(ATTACK)}
    cited = {
        "index": 1,
        **span,
        "passage_id": "p",
        "document_id": "gone",
        "quote": ATTACK,
        "score": 1.0,
        "verdict": "supported",
    }
    return [
        Event("retrieval.completed", {"passages": [passage]}),
        *(Event("text.delta", {"text": ATTACK[at : at + 7]}) for at in range(0, len(ATTACK), 7)),
        Event("citation", cited),
        completed(),
    ]


async def test_hostile_text_becomes_neither_element_nor_request(fake: FakeServer, reader: Reader) -> None:
    fake.scripts[ATTACK] = attack()
    await reader.ask(ATTACK)
    await reader.finished()
    await reader.marker(1).click()
    await expect(reader.panel.locator("mark")).to_contain_text("onerror")
    for place in (".turn", ".sidebar", "dialog.panel"):
        await expect(reader.page.locator(place).locator(FORBIDDEN)).to_have_count(0)
    assert '<img src="https://evil.example/a.png"' in await reader.words()
    await reader.page.reload()
    await reader.finished()
    await expect(reader.page.locator(".turn").locator(FORBIDDEN)).to_have_count(0)
    assert await reader.page.evaluate("window.owned ?? null") is None
    assert foreign(reader.requested, fake.url) == []


async def test_a_model_s_link_opens_only_after_its_address_was_shown(fake: FakeServer, reader: Reader) -> None:
    fake.scripts["?"] = attack()
    await reader.ask("?")
    await reader.finished()
    await reader.button("go").click()
    dialog = reader.page.get_by_role("dialog", name="Open this page?")
    await expect(dialog).to_contain_text("https://evil.example/c")
    await dialog.get_by_role("button", name="Cancel").click()
    assert len(reader.page.context.pages) == 1
    await expect(reader.button("go")).to_be_focused()


async def test_a_confirmed_link_opens_without_a_way_back(fake: FakeServer, reader: Reader) -> None:
    fake.scripts["?"] = [Event("text.delta", {"text": f"[go]({fake.url}/widget/favicon.svg)"}), completed()]
    await reader.ask("?")
    await reader.finished()
    await reader.button("go").click()
    async with reader.page.context.expect_page() as opened:
        await reader.button("Open in a new tab").click()
    page = await opened.value
    await page.wait_for_url("**/favicon.svg")
    assert await page.evaluate("window.opener") is None


async def test_a_whole_visit_stays_at_the_server(fake: FakeServer, visit: OpenReader) -> None:
    """Nothing is loaded from elsewhere, and the strict content security policy is never touched (see `visit`)."""
    reader = await visit(fake.url)
    await reader.ask("anything")
    await reader.finished()
    await reader.button("Use the dark theme").click()
    await reader.marker(1).click()
    await expect(reader.panel.locator("mark")).to_be_visible()
    assert foreign(reader.requested, fake.url) == []
    response = await reader.page.request.get(fake.url)
    assert "script-src 'self'" in response.headers["content-security-policy"]


async def test_a_page_s_rules_for_every_element_do_not_reach_its_text(fake: FakeServer, visit: OpenReader) -> None:
    looks: list[list[dict[str, str]]] = []
    for rules in ("", PAGE_RULES):
        reader = await visit(fake.url)
        await reader.embed(rules)
        await reader.ask("anything")
        await reader.finished()
        looks.append(await reader.page.evaluate(LOOKS))
    for usual, under_rules in zip(*looks, strict=True):
        assert {name: value for name, value in under_rules.items() if usual[name] != value} == {}
