"""The look: light and dark, from phone to desktop, readable everywhere, still where motion is unwelcome."""

import pytest
from playwright.async_api import expect

from tests.browser.conftest import OpenReader
from tests.browser.fake_server import FakeServer
from tests.browser.reader import Reader, Site
from tests.browser.script import STOPPING, Event, Hold, Sentence, script

# Every visible text and its contrast (WCAG 2.2, relative luminance), where it is too low.
LOW_CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (color) => {
    const [r, g, b] = color.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const up = (element) => element.parentElement ?? element.getRootNode().host;
  const ground = (element) => {
    for (let at = element; at; at = up(at)) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  const low = [];
  const walker = document.createTreeWalker(document.querySelector("footnote-chat").shadowRoot, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const words = walker.currentNode.data.trim();
    const disabled = element.closest(":disabled");
    if (!words || disabled || !element.checkVisibility({ visibilityProperty: true })) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(rgba(style.color)), light(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const large = parseFloat(style.fontSize) >= 24;
    if (ratio < (large ? 3 : 4.5)) low.push(`${ratio.toFixed(2)} ${words.slice(0, 40)}`);
  }
  return low;
}"""
TOO_WIDE = """() => {
  const root = document.querySelector("footnote-chat").shadowRoot;
  const parts = root.querySelectorAll(".app, .reading, .column, .foot, dialog[open], .document, .sidebar");
  const boxes = [document.documentElement, ...parts];
  return boxes.filter((box) => box.scrollWidth > box.clientWidth).map((box) => box.className || box.tagName);
}"""
SIZES = """() => [".bar", ".prose", ".composer textarea"].map((part) => {
  const style = getComputedStyle(document.querySelector("footnote-chat").shadowRoot.querySelector(part));
  return [style.fontSize, style.padding, style.minHeight];
})"""
GROUND = "() => getComputedStyle(document.querySelector('footnote-chat')).backgroundColor"
PHONE = {"viewport": {"width": 390, "height": 760}, "has_touch": True, "is_mobile": True, "reduced_motion": "reduce"}
PAPER, NIGHT = "rgb(251, 247, 239)", "rgb(23, 20, 16)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_is_readable(fake: FakeServer, visit: OpenReader, scheme: str) -> None:
    fake.small_model = True
    reader = await visit(fake.url, color_scheme=scheme)
    assert await reader.page.evaluate(LOW_CONTRAST) == []
    await reader.ask("anything")
    await reader.finished()
    fake.problems.append((422, {"code": "invalid_input", "title": "Refused", "detail": "Ask otherwise."}))
    await reader.ask("another")
    await expect(reader.answer.get_by_role("alert")).to_be_visible()
    await reader.page.locator(".marker button").first.click()
    await expect(reader.panel.locator(".context").last).to_be_visible()
    assert await reader.page.evaluate(LOW_CONTRAST) == []


async def test_the_theme_follows_the_system_until_it_is_chosen(visit: OpenReader, fake: FakeServer) -> None:
    reader = await visit(fake.url, color_scheme="dark")
    assert await reader.page.evaluate(GROUND) == NIGHT
    await reader.page.emulate_media(color_scheme="light")
    assert await reader.page.evaluate(GROUND) == PAPER
    await reader.button("Use the dark theme").click()
    assert await reader.page.evaluate(GROUND) == NIGHT
    await reader.page.reload()
    await expect(reader.button("Use the light theme")).to_be_visible()
    assert await reader.page.evaluate(GROUND) == NIGHT


async def test_a_phone_shows_all_of_it(visit: OpenReader, site: Site) -> None:
    reader = await visit(site.url, **PHONE)
    page = reader.page
    assert await page.evaluate(TOO_WIDE) == []
    await reader.ask(site.question)
    await reader.finished()
    assert await page.evaluate(TOO_WIDE) == []
    await page.set_viewport_size({"width": 360, "height": 760})
    assert await page.evaluate(TOO_WIDE) == []

    await reader.marker(1).tap()
    await expect(reader.panel.locator("mark")).to_be_in_viewport()
    assert await reader.panel.bounding_box() == {"x": 0, "y": 0, "width": 360, "height": 760}
    assert await page.evaluate(TOO_WIDE) == []
    await reader.button("Close").tap()

    navigation = page.get_by_role("navigation", name="Conversations")
    await expect(navigation).to_be_hidden()
    await reader.button("Conversations").tap()
    await expect(navigation).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(navigation).to_be_hidden()
    await expect(reader.button("Conversations")).to_be_focused()


async def test_long_words_and_wide_code_stay_inside(fake: FakeServer, visit: OpenReader) -> None:
    table = f"{'| head ' * 12}|\n{'|---' * 12}|\n| {'cell ' * 40}|"
    fake.scripts["W" * 300] = script(
        f"{'w' * 300}\n\n```\n{'code ' * 60}\n```\n\n{table}\n\nhttps://a.example/{'x' * 200} `{'y' * 200}`"
    )
    reader = await visit(fake.url, viewport={"width": 360, "height": 760})
    await reader.ask("W" * 300)
    await reader.finished()
    assert await reader.page.evaluate(TOO_WIDE) == []
    box = "(it) => it.scrollWidth > it.clientWidth && it.getBoundingClientRect().right <= innerWidth"
    assert await reader.prose.locator(".table").evaluate(box)  # scrolled by itself


async def test_a_long_title_leaves_room_for_the_document(fake: FakeServer, visit: OpenReader) -> None:
    events = script(Sentence("Kept.", STOPPING, "What was written so far is kept."))
    for event in events:
        for passage in event.data.get("passages", []) if isinstance(event, Event) else []:
            passage |= {"title": "Title " * 80, "uri": f"https://a.example/{'x' * 400}"}
    fake.scripts["?"] = events
    for width, height in ((360, 760), (320, 256)):
        reader = await visit(fake.url, viewport={"width": width, "height": height})
        await reader.ask("?")
        await reader.finished()
        await reader.marker(1).click()
        await expect(reader.panel.locator(".context").last).to_contain_text("Closing the page")
        await expect(reader.panel.locator("mark")).to_be_in_viewport()
        await expect(reader.button("Close")).to_be_in_viewport(ratio=1)


async def test_a_long_label_and_large_text_leave_every_button_in_sight(visit: OpenReader, fake: FakeServer) -> None:
    reader = await visit(fake.url, viewport={"width": 390, "height": 760})
    await reader.page.evaluate("document.documentElement.style.fontSize = '32px'")
    assert await reader.page.evaluate(TOO_WIDE) == []
    await expect(reader.button("Use the dark theme")).to_be_in_viewport(ratio=1)
    name = "The help desk of the university library and its branches"
    await reader.page.evaluate(
        "(label) => { const it = document.querySelector('footnote-chat'); it.setAttribute('label', label); "
        "it.replaceWith(it.cloneNode()); }",
        name,
    )
    await reader.page.get_by_role("group", name=name).wait_for()
    await expect(reader.button("Use the dark theme")).to_be_in_viewport(ratio=1)
    await reader.button("Conversations").click()
    bar, drawer = [await reader.page.locator(part).bounding_box() for part in (".bar", ".sidebar")]
    assert bar
    assert drawer
    assert bar["height"] < 200
    assert drawer["y"] == bar["height"]


async def test_with_a_system_s_few_colours_nothing_is_told_by_ground_alone(fake: FakeServer, visit: OpenReader) -> None:
    fake.scripts["?"] = script("Some words ", Hold())
    reader = await visit(fake.url, forced_colors="active")
    await reader.ask("anything")
    await reader.finished()
    await expect(reader.marker(1)).to_have_css("outline-style", "solid")
    await reader.button("Bad answer").click()
    await expect(reader.button("Bad answer")).to_have_css("outline-style", "solid")
    await reader.ask("?")
    await expect(reader.prose).to_contain_text("Some words")
    await expect(reader.page.locator(".sheet")).to_have_css("outline-style", "solid")
    ground = "(it, [part, name]) => getComputedStyle(it, part)[name]"
    for place, part in ((".caret", "::after"), (".conversations .current", "::before")):
        shown = await reader.page.locator(place).evaluate(ground, [part, "backgroundColor"])
        assert shown != await reader.page.locator("footnote-chat").evaluate(ground, [None, "backgroundColor"])


async def test_nothing_moves_for_those_who_asked_for_stillness(fake: FakeServer, visit: OpenReader) -> None:
    fake.scripts["?"] = script("Some words ", Hold())
    reader = await visit(fake.url, reduced_motion="reduce")
    await reader.ask("?")
    await expect(reader.prose).to_contain_text("Some words")
    running = "document.querySelector('footnote-chat').shadowRoot.getAnimations().length"
    assert await reader.page.evaluate(running) == 0


async def test_the_small_model_is_told_unobtrusively(fake: FakeServer, visit: OpenReader, reader: Reader) -> None:
    await expect(reader.page.locator("summary")).to_have_count(0)
    fake.small_model = True
    told = await visit(fake.url)
    await expect(told.page.get_by_text("gguf:PATH")).to_be_hidden()
    await told.page.get_by_text("A tiny packaged model answers").click()
    await expect(told.page.get_by_text("gguf:PATH")).to_be_visible()


@pytest.mark.parametrize(("width", "height"), [(683, 320), (320, 256)])
async def test_a_low_window_is_filled_and_not_more(
    visit: OpenReader, fake: FakeServer, width: int, height: int
) -> None:
    reader = await visit(fake.url, viewport={"width": width, "height": height})
    assert await reader.page.evaluate("document.documentElement.scrollHeight") <= height
    await expect(reader.field).to_be_in_viewport()
    await expect(reader.page.get_by_text("What would you like to know")).to_be_in_viewport()
    await expect(reader.button("Latest")).to_be_hidden()


async def test_in_a_page_without_a_height_it_is_as_high_as_the_window_at_most(
    visit: OpenReader, fake: FakeServer
) -> None:
    reader = await visit(fake.url)
    await reader.page.evaluate(
        "for (const it of document.querySelectorAll('html, body, main')) it.style.height = 'auto'"
    )
    for number in range(4):
        await reader.ask(f"Question {number}?")
        await reader.finished()
    assert await reader.page.locator("footnote-chat").evaluate("it => it.offsetHeight") <= 800
    await expect(reader.field).to_be_in_viewport()
    assert await reader.page.locator("footnote-chat .reading").evaluate("it => it.scrollHeight > it.clientHeight")


@pytest.mark.parametrize("style", ["html { font-size: 62.5%; }", "html { font-size: 24px; }"])
async def test_a_page_s_root_font_size_does_not_change_its_measures(
    visit: OpenReader, fake: FakeServer, style: str
) -> None:
    plain, sized, larger = [
        await measured(await visit(fake.url), rules)
        for rules in ("", style, f"{style} footnote-chat {{ --footnote-rem: 20px; }}")
    ]
    assert sized == plain
    assert (plain[1][0], larger[1][0]) == ("18.5px", "23.125px")


async def test_its_own_page_follows_the_reader_s_font_size(visit: OpenReader, fake: FakeServer) -> None:
    reader = await visit(fake.url)
    await reader.ask("anything")
    await reader.finished()
    await reader.page.evaluate("document.documentElement.style.fontSize = '20px'")
    assert (await reader.page.evaluate(SIZES))[1][0] == "23.125px"


async def test_as_a_block_it_is_no_higher_than_the_window(visit: OpenReader, fake: FakeServer) -> None:
    reader = await filled(visit, fake, "footnote-chat { display: block; }")
    assert await reader.page.evaluate("document.documentElement.scrollHeight") < 1_000
    assert await reader.page.locator("footnote-chat .reading").evaluate("it => it.scrollHeight > it.clientHeight")


async def test_with_a_border_it_is_no_higher_than_the_window(visit: OpenReader, fake: FakeServer) -> None:
    reader = await filled(visit, fake, "footnote-chat { border: 3px solid; padding: 1rem; }")
    assert await reader.page.locator("footnote-chat").evaluate("it => it.offsetHeight") <= 800


@pytest.mark.parametrize("style", [None, "footnote-chat { height: 20rem; }"])
async def test_on_paper_the_whole_conversation_stands_and_nothing_to_press(
    visit: OpenReader, fake: FakeServer, style: str | None
) -> None:
    reader = await visit(fake.url) if style is None else await filled(visit, fake, style)
    for number in range(4 if style is None else 0):
        await reader.ask(f"Question {number}?")
        await reader.finished()
    reading = reader.page.locator("footnote-chat .reading")
    assert await reading.evaluate("it => it.scrollHeight > it.clientHeight")
    await reader.page.emulate_media(media="print", color_scheme="dark")
    assert await reading.evaluate("it => it.scrollHeight === it.clientHeight")
    whole = await reader.page.evaluate("document.documentElement.scrollHeight")
    assert whole >= await reading.evaluate("it => it.getBoundingClientRect().bottom + scrollY") - 1
    await expect(reader.field).to_be_hidden()
    left = reader.page.locator("footnote-chat").locator("button:visible, select:visible, textarea:visible")
    assert await left.evaluate_all("all => all.every((it) => it.closest('.prose, .notes'))")
    await expect(reader.prose).to_have_css("color", "rgb(33, 29, 24)")


async def filled(visit: OpenReader, fake: FakeServer, style: str) -> Reader:
    """Answers that are higher than the window, in a foreign page with these rules."""
    reader = await visit(fake.url)
    await reader.embed(style)
    for number in range(4):
        await reader.ask(f"Question {number}?")
        await reader.finished()
    return reader


async def measured(reader: Reader, style: str) -> list[list[str]]:
    """The sizes of some of its parts in a foreign page with these rules."""
    await reader.embed(style)
    await reader.ask("anything")
    await reader.finished()
    sizes: list[list[str]] = await reader.page.evaluate(SIZES)
    return sizes
