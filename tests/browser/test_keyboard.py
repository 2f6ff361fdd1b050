"""Keyboard and screen reader: everything can be reached, everything has a name, nothing is said too often."""

from typing import Any

from playwright.async_api import expect

from tests.browser.conftest import OpenReader
from tests.browser.fake_server import FakeServer
from tests.browser.reader import Reader, Site
from tests.browser.script import Hold, Sentence, script

COLLECT_ANNOUNCEMENTS = """() => {
  window.heard = [];
  const live = document.querySelector("footnote-chat").shadowRoot.querySelector("[aria-live=polite].visually-hidden");
  const observer = new MutationObserver(() => window.heard.push(live.textContent));
  observer.observe(live, { childList: true, characterData: true });
}"""


async def tab_to(reader: Reader, name: str, key: str = "Tab") -> None:
    """Press a key until the focus is at an element whose name begins so."""
    for _ in range(60):
        await reader.page.keyboard.press(key)
        if (await reader.focused()).startswith(name):
            return
    raise AssertionError(f"{key} never reaches {name!r}; the focus is at {await reader.focused()!r}")


async def test_a_visit_needs_no_mouse(visit: OpenReader, site: Site) -> None:
    reader = await visit(site.url)
    keyboard = reader.page.keyboard
    assert await reader.focused() == "Your question"
    await keyboard.type(site.question)
    await keyboard.press("Enter")
    await reader.finished()
    assert await reader.focused() == "Your question"

    await tab_to(reader, "Footnote 1", "Shift+Tab")
    name = await reader.focused()
    await keyboard.press("Enter")
    await expect(reader.panel.locator("mark")).to_be_visible()
    await tab_to(reader, "Close")
    await keyboard.press("Enter")
    await expect(reader.panel).to_be_hidden()
    assert await reader.focused() == name

    await tab_to(reader, "New conversation", "Shift+Tab")
    await keyboard.press("Enter")
    await expect(reader.page.locator(".turn")).to_have_count(0)
    assert await reader.focused() == "Your question"


async def test_enter_asks_and_shift_enter_breaks_the_line(fake: FakeServer, reader: Reader) -> None:
    await reader.field.press_sequentially("one")
    height = await reader.field.evaluate("(field) => field.offsetHeight")
    await reader.field.press("Shift+Enter")
    await reader.field.press_sequentially("two")
    assert await reader.field.evaluate("(field) => field.offsetHeight") > height
    await reader.field.press("Enter")
    await reader.finished()
    assert fake.last_run().question == "one\ntwo"
    await expect(reader.field).to_have_value("")


async def test_enter_waits_for_a_running_answer(fake: FakeServer, reader: Reader) -> None:
    fake.scripts["?"] = script(Hold(), "Done.")
    await reader.ask("?")
    await reader.ask("My next question")
    await expect(reader.field).to_have_value("My next question")
    fake.go_on()
    await reader.finished()
    await reader.field.press("Enter")
    await expect(reader.page.get_by_role("heading", name="My next question")).to_be_visible()


async def test_the_landmarks_have_names(reader: Reader) -> None:
    page = reader.page
    await expect(page.get_by_role("main")).to_have_count(1)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Footnote")
    for role, name in (("navigation", "Conversations"), ("region", "Conversation"), ("form", "Ask a question")):
        await expect(page.get_by_role(role, name=name, exact=True)).to_have_count(1)  # type: ignore[arg-type]
    await expect(page.get_by_role("list", name="Example questions").get_by_role("button")).to_have_count(3)


async def test_everything_that_can_be_used_has_a_name(reader: Reader) -> None:
    await reader.ask("anything")
    await reader.finished()
    await reader.marker(1).click()
    for step in ("panel", "page"):
        if step == "page":
            await reader.page.keyboard.press("Escape")
        nameless = [node for node in await controls(reader) if not node["name"]["value"].strip()]
        assert nameless == []


async def controls(reader: Reader) -> list[dict[str, Any]]:
    """What the browser tells a screen reader about buttons, links, fields and dialogs."""
    session = await reader.page.context.new_cdp_session(reader.page)
    nodes = (await session.send("Accessibility.getFullAXTree"))["nodes"]
    used = {"button", "link", "textbox", "combobox", "dialog", "navigation", "form"}
    return [node for node in nodes if not node["ignored"] and node["role"]["value"] in used]


async def test_the_answer_is_announced_once_and_whole(fake: FakeServer, reader: Reader) -> None:
    await reader.page.evaluate(COLLECT_ANNOUNCEMENTS)
    await reader.ask("anything")
    await reader.finished()
    heard = await reader.page.evaluate("window.heard")
    assert heard[0] == "Searching the documents"
    assert len(heard) == 2
    assert heard[1] == (
        "Answer: You need Python 3.11 or newer and uv. One command installs the rest and starts the server.\n"
        "An answer can be stopped, and what was written is kept 👍. It also makes coffee. (not found in the documents) "
        "3 footnotes."
    )
    assert await reader.answer.get_attribute("aria-busy") == "false"


async def test_an_answer_is_announced_as_it_is_shown(fake: FakeServer, reader: Reader) -> None:
    text = "## Steps\n\n1. **Install** `uv`  \n   first\n2. See [the page](https://a.example/x)\n\n> A *quote*\n\n"
    fake.scripts["?"] = script(text + "| Setting | Default |\n|---|---|\n| `A` | **1** |\n\n```sh\nfootnote up\n```")
    await reader.page.evaluate(COLLECT_ANNOUNCEMENTS)
    await reader.ask("?")
    await reader.finished()
    shown = "Steps\nInstall uv\nfirst\nSee the page\nA quote\nSetting, Default\nA, 1\nfootnote up"
    assert (await reader.page.evaluate("window.heard"))[-1] == f"Answer: {shown} No footnotes."


async def test_enter_that_ends_a_word_of_an_input_method_does_not_ask(reader: Reader) -> None:
    await reader.field.fill("にほん")
    for how in ("isComposing: true", "keyCode: 229"):  # Safari's way: the word is complete before the key comes
        event = f"new KeyboardEvent('keydown', {{ key: 'Enter', bubbles: true, cancelable: true, {how} }})"
        await reader.field.evaluate(f"(field) => field.dispatchEvent({event})")
    await expect(reader.field).to_have_value("にほん")
    await expect(reader.page.locator(".turn")).to_have_count(0)
    await reader.field.press("Enter")
    await expect(reader.page.locator(".turn")).to_have_count(1)


async def test_a_widget_has_the_name_of_its_label(fake: FakeServer, visit: OpenReader) -> None:
    reader = await visit(fake.url, f"/embed?from={fake.url}")
    await expect(reader.page.get_by_role("group", name="Help")).to_be_visible()


async def test_an_earlier_question_that_is_asked_again_is_announced(fake: FakeServer, reader: Reader) -> None:
    fake.problems.append((429, {"code": "too_many_requests", "title": "Refused", "detail": "Wait a moment."}))
    fake.scripts |= {"First": script("The first."), "Second": script("The second.")}
    await reader.ask("First")
    await reader.button("Try again").wait_for()
    await reader.ask("Second")
    await reader.finished()
    await reader.page.evaluate(COLLECT_ANNOUNCEMENTS)
    await reader.button("Try again").click()
    await expect(reader.button("Copy the answer")).to_have_count(2)
    assert await reader.page.evaluate("window.heard") == ["Searching the documents", "Answer: The first. No footnotes."]


async def test_a_growing_answer_is_marked_busy(fake: FakeServer, reader: Reader) -> None:
    fake.scripts["?"] = script(Sentence("Some words. "), Hold())
    await reader.ask("?")
    await expect(reader.prose).to_contain_text("Some words")
    assert await reader.answer.get_attribute("aria-busy") == "true"
