"""Errors: told in place, with what to do; the question is never lost."""

import pytest
from playwright.async_api import expect

from tests.browser.conftest import OpenReader
from tests.browser.fake_server import FakeServer
from tests.browser.reader import Reader
from tests.browser.script import Event, script

REFUSALS = [
    (413, "payload_too_large", "The request body is too large."),
    (422, "invalid_input", "The question is not valid."),
    (429, "too_many_requests", "Wait a moment."),
    (503, "database_unavailable", "PostgreSQL is not reachable; nothing was lost."),
]


@pytest.mark.parametrize(("status", "code", "detail"), REFUSALS)
async def test_a_refused_question_stays_and_can_be_asked_again(
    fake: FakeServer, reader: Reader, status: int, code: str, detail: str
) -> None:
    fake.problems.append((status, {"code": code, "title": "Refused", "detail": detail}))
    await reader.ask("My question")
    await expect(reader.answer.get_by_role("alert")).to_contain_text(detail)
    await expect(reader.page.get_by_role("heading", name="My question")).to_be_visible()
    await reader.button("Try again").click()
    await reader.finished()
    await expect(reader.page.locator(".turn")).to_have_count(1)
    await expect(reader.answer.get_by_role("alert")).to_have_count(0)


async def test_an_earlier_question_that_is_asked_again_can_be_stopped(fake: FakeServer, reader: Reader) -> None:
    fake.problems.append((429, {"code": "too_many_requests", "title": "Refused", "detail": "Wait a moment."}))
    fake.scripts["First"] = script("One two three four five six seven. " * 60)
    await reader.ask("First")
    await reader.button("Try again").wait_for()
    await reader.ask("Second")
    await reader.finished()
    await reader.button("Try again").click()
    await reader.button("Stop the answer").click()
    await expect(reader.page.locator(".turn").first).to_contain_text("Stopped")
    await expect(reader.button("Stop the answer")).to_have_count(0)


async def test_a_stop_ends_with_the_question_that_it_was_for(fake: FakeServer, reader: Reader) -> None:
    async def slow(route):  # type: ignore[no-untyped-def]
        await reader.button("Stop the answer").click()
        await route.fulfill(status=503, content_type="text/html", body="<h1>Bad gateway</h1>")

    await reader.page.route("**/v1/chat", slow, times=1)
    await reader.ask("My question")
    await reader.button("Try again").click()
    await reader.finished()
    assert fake.last_run().state == "completed"


async def test_a_question_asked_while_a_conversation_opens_stays_in_its_field(fake: FakeServer, reader: Reader) -> None:
    await reader.ask("First")
    await reader.finished()

    async def slow(route):  # type: ignore[no-untyped-def]
        await reader.ask("Typed meanwhile")
        await expect(reader.field).to_have_value("Typed meanwhile")
        await route.continue_()

    await reader.page.route("**/v1/conversations/*", slow, times=1)
    await reader.page.reload()
    await reader.page.get_by_role("heading", name="First").wait_for()
    await expect(reader.field).to_have_value("Typed meanwhile")
    await reader.field.press("Enter")
    await reader.page.get_by_role("heading", name="Typed meanwhile").wait_for()


async def test_a_refused_question_can_be_edited(fake: FakeServer, reader: Reader) -> None:
    fake.problems.append((422, {"code": "invalid_input", "title": "Refused", "detail": "Ask otherwise."}))
    await reader.ask("My question")
    await reader.button("Edit the question").click()
    await expect(reader.field).to_have_value("My question")
    await expect(reader.field).to_be_focused()
    await expect(reader.page.locator(".turn")).to_have_count(0)


async def test_editing_a_refused_question_keeps_what_was_typed_meanwhile(fake: FakeServer, reader: Reader) -> None:
    fake.problems.append((422, {"code": "invalid_input", "title": "Refused", "detail": "Ask otherwise."}))
    await reader.ask("My question")
    await reader.field.fill("Typed meanwhile")
    await reader.button("Edit the question").click()
    await expect(reader.field).to_have_value("My question\nTyped meanwhile")


async def test_a_problem_that_is_all_in_its_title_is_told_once(fake: FakeServer, reader: Reader) -> None:
    told = "An answer in this conversation is still being written."
    fake.problems.append((409, {"code": "conversation_busy", "title": told, "detail": told}))
    await reader.ask("My question")
    await expect(reader.answer.get_by_role("alert").locator("p").first).to_have_text(told)


async def test_an_answer_that_the_browser_does_not_copy_is_said_not_to_be(fake: FakeServer, reader: Reader) -> None:
    refuse = "() => Promise.reject(new DOMException('no', 'NotAllowedError'))"  # as in a frame without the permission
    await reader.page.evaluate(f"void (navigator.clipboard.writeText = {refuse})")
    await reader.ask("anything")
    await reader.finished()
    await reader.button("Copy the answer").click()
    await expect(reader.button("Copy the answer")).to_have_text("Not copied")
    await expect(reader.page.get_by_text("The browser does not let this page copy")).to_have_count(1)


async def test_a_bare_error_page_is_replaced_by_advice(fake: FakeServer, reader: Reader) -> None:
    async def broken(route):  # type: ignore[no-untyped-def]
        await route.fulfill(status=503, content_type="text/html", body="<h1>Bad gateway</h1>")

    await reader.page.route("**/v1/chat", broken)
    await reader.ask("My question")
    await expect(reader.answer.get_by_role("alert")).to_contain_text("The server is not ready")


async def test_no_network_is_told_and_the_question_stays(fake: FakeServer, reader: Reader) -> None:
    await reader.page.context.set_offline(True)
    await reader.ask("My question")
    await expect(reader.answer.get_by_role("alert")).to_contain_text("The server cannot be reached")
    await reader.page.context.set_offline(False)
    await reader.button("Try again").click()
    await reader.finished()


async def test_a_failing_run_keeps_its_text_and_says_why(fake: FakeServer, reader: Reader) -> None:
    problem = {"code": "provider_unavailable", "title": "No model", "detail": "Start Ollama: `ollama serve`."}
    fake.scripts["?"] = [*script("Half of ")[:-2], Event("run.failed", {"problem": problem})]
    await reader.ask("?")
    alert = reader.answer.get_by_role("alert")
    await expect(alert).to_contain_text("Start Ollama: ollama serve.")
    await expect(alert.locator("code")).to_have_text("ollama serve")
    assert await reader.words() == "Half of"
    del fake.scripts["?"]
    await reader.button("Try again").click()
    await reader.finished()
    await expect(reader.page.get_by_role("heading", name="?")).to_have_count(2)


async def test_a_server_with_keys_is_given_one(fake: FakeServer, visit: OpenReader) -> None:
    fake.api_key = "a-key-of-this-test"
    reader = await visit(fake.url)
    dialog = reader.page.get_by_role("dialog", name="A key is needed")
    await dialog.get_by_label("API key").fill("a-wrong-one")
    await dialog.get_by_role("button", name="Use this key").click()
    await expect(dialog.get_by_label("API key")).to_have_value("")  # asked again
    await dialog.get_by_role("button", name="Cancel").click()
    await reader.ask("anything")
    await expect(reader.answer.get_by_role("alert")).to_contain_text("A key is needed")
    await dialog.get_by_label("API key").fill(fake.api_key)
    await reader.page.keyboard.press("Enter")
    await reader.finished()
    await reader.page.reload()
    await reader.finished()
    assert fake.requested("GET", "/v1/conversations/")[-1]["authorization"] == f"Bearer {fake.api_key}"


async def test_a_key_is_used_without_what_came_along_when_it_was_copied(fake: FakeServer, visit: OpenReader) -> None:
    fake.api_key = "a-key-of-this-test"
    reader = await visit(fake.url)
    dialog = reader.page.get_by_role("dialog", name="A key is needed")
    field = dialog.get_by_label("API key")
    use = dialog.get_by_role("button", name="Use this key")
    await expect(dialog.get_by_role("alert")).to_have_count(0)
    await field.fill("clé-à-moi-\u043a\u043b\u044e\u0447")  # no header can hold it
    await use.click()
    assert "ASCII" in await field.evaluate("(field) => field.validationMessage")
    await field.fill("a-wrong-one")
    await use.click()
    await expect(dialog.get_by_role("alert")).to_contain_text("refused")
    await field.fill(f"\ufeff \u200b{fake.api_key}\u200b\u00a0")
    await use.click()
    await expect(dialog).to_have_count(0)
    await reader.ask("anything")
    await reader.finished()


async def test_a_key_that_was_entered_outlives_the_page_s_own(fake: FakeServer, visit: OpenReader) -> None:
    fake.api_key = "a-key-of-this-test"
    reader = await visit(fake.url, f"/embed?from={fake.url}&key=a-wrong-one")
    dialog = reader.page.get_by_role("dialog", name="A key is needed")
    await dialog.get_by_label("API key").fill(fake.api_key)
    await dialog.get_by_role("button", name="Use this key").click()
    await reader.ask("anything")
    await reader.finished()
    await reader.page.reload()
    await reader.finished()
    await expect(dialog).to_have_count(0)
    assert {sent.get("authorization") for sent in fake.requested("GET", "/v1/")[-4:]} == {f"Bearer {fake.api_key}"}


async def test_a_conversation_that_does_not_come_can_be_tried_again(fake: FakeServer, reader: Reader) -> None:
    await reader.ask("anything")
    await reader.finished()
    await reader.page.route("**/v1/conversations/*", lambda route: route.abort())
    await reader.page.reload()
    await expect(reader.page.get_by_role("alert")).to_contain_text("The server cannot be reached")
    await reader.page.unroute("**/v1/conversations/*")
    await reader.button("Try again").click()
    await reader.finished()


async def test_a_conversation_deleted_elsewhere_makes_room_for_a_new_one(fake: FakeServer, reader: Reader) -> None:
    await reader.ask("anything")
    await reader.finished()
    fake.runs.clear()
    await reader.page.reload()
    await expect(reader.page.get_by_role("heading", name="What would you like to know?")).to_be_visible()


async def test_too_long_a_question_is_counted_not_cut(reader: Reader) -> None:
    await reader.field.fill("🎉" * 7_900)
    await expect(reader.page.get_by_text("100 characters left")).to_be_visible()
    await reader.field.fill("a" * 8_001)
    await expect(reader.page.get_by_text("1 characters too many")).to_be_visible()
    await expect(reader.button("Ask")).to_be_disabled()
    await reader.field.press("Enter")
    await expect(reader.page.locator(".turn")).to_have_count(0)
    await expect(reader.field).to_have_value("a" * 8_001)
