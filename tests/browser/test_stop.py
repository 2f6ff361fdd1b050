"""Stopping: the answer ends at once, and what was written stays."""

import re

from playwright.async_api import expect

from tests.browser.conftest import OpenReader
from tests.browser.fake_server import FakeServer
from tests.browser.reader import Reader, Site, plain
from tests.browser.script import Hold, script

SOME_WORDS = re.compile(r"\w \w")


async def test_stop_keeps_what_was_written(visit: OpenReader, site: Site) -> None:
    reader = await visit(site.url)
    await reader.ask(site.question)
    await expect(reader.prose).to_contain_text(SOME_WORDS)
    await reader.button("Stop the answer").click()
    await expect(reader.answer.get_by_text("Stopped here.")).to_be_visible()
    stored = await reader.stored()
    assert stored["state"] == "cancelled"
    assert await reader.words() == plain(stored["text"])
    await expect(reader.field).to_be_focused()


async def test_escape_stops_too(fake: FakeServer, reader: Reader) -> None:
    fake.scripts["?"] = script("Some words ", Hold())
    await reader.ask("?")
    await expect(reader.prose).to_contain_text("Some words")
    await reader.page.keyboard.press("Escape")
    await expect(reader.answer.get_by_text("Stopped here.")).to_be_visible()
    assert fake.last_run().state == "cancelled"


async def test_escape_stops_after_a_click_beside_everything(fake: FakeServer, reader: Reader) -> None:
    fake.scripts["?"] = script("Some words ", Hold())
    for x, y in ((600, 25), (100, 600)):  # the bar, the sidebar
        await reader.ask("?")
        await expect(reader.prose).to_contain_text("Some words")
        await reader.page.mouse.click(x, y)
        await reader.page.keyboard.press("Escape")
        await expect(reader.answer.get_by_text("Stopped here.")).to_be_visible()


async def test_escape_that_stops_leaves_a_dialog_around_the_widget_open(fake: FakeServer, reader: Reader) -> None:
    fake.scripts["?"] = script("Some words ", Hold())
    await reader.page.evaluate("""() => {
      const dialog = document.createElement("dialog");
      dialog.id = "around";
      document.body.append(dialog);
      dialog.append(document.querySelector("footnote-chat"));
      dialog.showModal();
    }""")
    around = reader.page.locator("#around")
    await reader.ask("?")
    await expect(reader.prose).to_contain_text("Some words")
    await reader.page.keyboard.press("Escape")
    await expect(reader.answer.get_by_text("Stopped here.")).to_be_visible()
    await expect(around).to_have_attribute("open", "")
    await reader.page.keyboard.press("Escape")  # nothing left to stop: it is the page's
    await expect(around).not_to_have_attribute("open", "")


async def test_escape_in_the_panel_only_closes_the_panel(fake: FakeServer, reader: Reader) -> None:
    fake.scripts["?"] = [*script()[:-2], Hold()]
    await reader.ask("anything")
    await reader.finished()
    await reader.ask("?")
    await reader.page.locator(".marker button").first.click()
    await expect(reader.panel).to_be_visible()
    await reader.page.keyboard.press("Escape")
    await expect(reader.panel).to_be_hidden()
    assert not fake.last_run().stopped


async def test_a_stopped_question_can_be_asked_again(fake: FakeServer, reader: Reader) -> None:
    fake.scripts["?"] = script(Hold(), "The answer.")
    await reader.ask("?")
    await reader.button("Stop the answer").click()
    await expect(reader.answer.get_by_text("Stopped before the first word.")).to_be_visible()
    fake.go_on()
    await reader.button("Ask again").click()
    await reader.finished()
    assert await reader.words() == "The answer."
    assert [run.question for run in fake.runs.values()] == ["?", "?"]


async def test_a_stop_that_fails_is_told_and_can_be_repeated(fake: FakeServer, reader: Reader) -> None:
    fake.scripts["?"] = script("Some words ", Hold())
    fake.cancel_problem = {"code": "unavailable", "title": "Away", "detail": "Try again shortly."}
    await reader.ask("?")
    await expect(reader.prose).to_contain_text("Some words")
    await reader.button("Stop the answer").click()
    await expect(reader.answer.get_by_text("This could not be stopped: Try again shortly.")).to_be_visible()
    fake.cancel_problem = None
    await reader.button("Stop the answer").click()
    await expect(reader.answer.get_by_text("Stopped here.")).to_be_visible()


async def test_a_stop_ends_the_answer_even_when_its_stream_says_nothing_more(fake: FakeServer, reader: Reader) -> None:
    fake.scripts["?"] = script("Some words ", Hold())
    fake.cancel_works = False
    await reader.ask("?")
    await expect(reader.prose).to_contain_text("Some words")
    await reader.button("Stop the answer").click()
    await expect(reader.answer.get_by_text("Stopping…")).to_be_visible()
    await expect(reader.answer.get_by_text("Stopped here.")).to_be_visible()
    await expect(reader.button("Ask")).to_be_visible()
