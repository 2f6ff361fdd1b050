"""Resuming: a reload or a lost connection neither loses nor doubles a word."""

import asyncio
import re

from playwright.async_api import expect

from tests.browser.conftest import OpenReader
from tests.browser.fake_server import FakeServer
from tests.browser.reader import Reader, Site, plain
from tests.browser.script import Event, Hold, completed, script

SOME_WORDS = re.compile(r"\w \w")


async def test_a_reload_in_the_middle_goes_on(visit: OpenReader, site: Site) -> None:
    reader = await visit(site.url)
    await reader.ask(site.question)
    await expect(reader.prose).to_contain_text(SOME_WORDS)
    await reader.page.reload()
    await expect(reader.page.get_by_role("heading", name=site.question)).to_be_visible()
    await reader.finished()
    assert await reader.words() == plain((await reader.stored())["text"])
    await expect(reader.page.locator(".turn")).to_have_count(1)


async def test_a_reload_afterwards_shows_the_stored_answer(fake: FakeServer, reader: Reader) -> None:
    await reader.ask("anything")
    await reader.finished()
    seen = await reader.answer.inner_text()
    await reader.page.reload()
    await reader.finished()
    assert await reader.answer.inner_text() == seen
    await reader.marker(3).click()
    await expect(reader.panel.locator("mark")).to_have_text("What was written so far is kept.")


async def test_a_reload_before_the_server_answered_keeps_the_question(fake: FakeServer, reader: Reader) -> None:
    fake.problems.append((503, {"code": "unavailable", "title": "Away", "detail": "Back soon."}))
    await reader.ask("My question")
    await expect(reader.answer.get_by_text("Back soon.")).to_be_visible()
    await reader.page.reload()
    await expect(reader.field).to_have_value("My question")


async def test_dropped_connections_lose_and_double_nothing(fake: FakeServer, reader: Reader) -> None:
    fake.drop_after = [4, 1, 7, 2, 1, 1, 5]
    await reader.ask("anything")
    await reader.finished()
    assert fake.drop_after == []
    assert await reader.words() == plain(fake.last_run().text())
    await expect(reader.page.locator(".marker")).to_have_count(3)
    # without the header where the first connection broke before the page had read any of it
    resumed = [int(headers.get("last-event-id", "0")) for headers in fake.requested("GET", "/v1/runs/")]
    assert len(resumed) == 7
    assert resumed == sorted(resumed)


async def test_a_connection_that_breaks_before_the_first_event_is_taken_up(fake: FakeServer, reader: Reader) -> None:
    fake.drop_after = [0, 0]
    await reader.ask("anything")
    await reader.finished()
    assert len(fake.runs) == 1
    assert await reader.words() == plain(fake.last_run().text())


async def test_events_that_were_seen_before_are_left_out(fake: FakeServer, reader: Reader) -> None:
    fake.drop_after = [6]
    fake.forget_last_event_id = True  # a proxy that strips the header: everything comes again
    await reader.ask("anything")
    await reader.finished()
    assert await reader.words() == plain(fake.last_run().text())


async def test_a_server_that_is_away_is_waited_for(fake: FakeServer, reader: Reader) -> None:
    fake.drop_after = [5]
    fake.refuse_resume = 2
    await reader.ask("anything")
    await expect(reader.answer.get_by_text("Connection lost. Trying again in")).to_be_visible()
    await reader.finished()
    await expect(reader.answer.get_by_text("Connection lost")).to_be_hidden()
    assert await reader.words() == plain(fake.last_run().text())


async def test_after_many_failures_the_reader_decides(visit: OpenReader, fake: FakeServer) -> None:
    reader = await visit(fake.url)
    await reader.page.clock.install()
    fake.scripts["?"] = script("Half of ", Hold(), "the answer.")
    fake.drop_after = [4]
    fake.refuse_resume = 1_000
    await reader.ask("?")
    reconnect = reader.button("Reconnect")
    async with asyncio.timeout(30):
        while not await reconnect.is_visible():
            await reader.page.clock.fast_forward(9_000)
            await asyncio.sleep(0.05)  # the requests between the pauses take real time
    await expect(reader.answer.get_by_role("alert")).to_contain_text("The connection was lost")
    fake.refuse_resume = 0
    fake.go_on()
    await reconnect.click()
    await reader.page.clock.resume()
    await reader.finished()
    assert await reader.words() == "Half of the answer."


async def test_a_silent_connection_is_given_up(visit: OpenReader, fake: FakeServer) -> None:
    reader = await visit(fake.url)
    await reader.page.clock.install()
    fake.scripts["?"] = script("Half of ", Hold(), "the answer.")
    await reader.ask("?")
    await reader.page.clock.run_for(1_000)
    await expect(reader.prose).to_contain_text("Half of")
    await reader.page.clock.run_for(46_000)
    await asyncio.sleep(0.05)
    fake.go_on()
    await reader.page.clock.resume()
    await reader.finished()
    assert len(fake.requested("GET", "/v1/runs/")) == 1
    assert await reader.words() == "Half of the answer."


async def test_a_tab_that_is_returned_to_shows_what_another_one_asked(visit: OpenReader, fake: FakeServer) -> None:
    fake.scripts["Second?"] = script("Half of ", Hold(), "the answer.")
    first, second = [await visit(fake.url) for _ in range(2)]
    await first.ask("First?")
    await first.finished()
    await second.page.reload()
    await second.page.get_by_role("navigation").get_by_role("button", name="First? ").first.click()
    await second.finished()
    await first.ask("Second?")
    await expect(first.prose).to_contain_text("Half of")
    await second.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(second.prose).to_contain_text("Half of")
    fake.go_on()
    await second.finished()
    assert await second.words() == "Half of the answer."
    await second.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await second.ask("Third?")
    await second.finished()
    await expect(second.page.locator("h2.question")).to_have_text(["First?", "Second?", "Third?"])


async def test_a_server_that_is_restarted_in_the_middle_is_waited_for(fake: FakeServer, reader: Reader) -> None:
    fake.scripts["?"] = script("Half of ", Hold(), "the answer.")
    fake.drop_after = [4]
    await reader.page.route("**/v1/runs/**", lambda route: route.abort("connectionrefused"))
    await reader.ask("?")
    await expect(reader.answer.get_by_text("Connection lost. Trying again in")).to_be_visible()
    await reader.field.fill("Typed meanwhile")
    # the worker that takes the answer over begins its text anew
    taken_over = [Event("text.rewind", {"to": 5}), Event("text.delta", {"text": "written anew."}), completed()]
    fake.last_run().events += taken_over
    await reader.page.unroute("**/v1/runs/**")
    await reader.finished()
    assert await reader.words() == "Half written anew."
    await expect(reader.field).to_have_value("Typed meanwhile")


async def test_a_second_tab_reads_the_same_answer(visit: OpenReader, fake: FakeServer) -> None:
    fake.scripts["?"] = script("Half of ", Hold(), "the answer.")
    first = await visit(fake.url)
    await first.ask("?")
    await expect(first.prose).to_contain_text("Half of")
    second = await visit(fake.url)
    await second.page.get_by_role("navigation").get_by_role("button", name="? ").first.click()
    await expect(second.prose).to_contain_text("Half of")
    fake.go_on()
    for reader in (first, second):
        await reader.finished()
        assert await reader.words() == "Half of the answer."
