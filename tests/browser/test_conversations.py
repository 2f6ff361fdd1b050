"""Conversations: begun, listed, opened again, deleted; and the widget in someone else's page."""

from playwright.async_api import expect

from tests.browser.conftest import OpenReader
from tests.browser.fake_server import FakeServer, serving
from tests.browser.reader import Reader
from tests.browser.script import Hold, script


async def test_a_follow_up_stays_in_its_conversation(fake: FakeServer, reader: Reader) -> None:
    await reader.ask("First?")
    await reader.finished()
    await reader.ask("Second?")
    await expect(reader.page.locator(".turn")).to_have_count(2)
    await reader.finished()
    assert len({run.conversation_id for run in fake.runs.values()}) == 1


async def test_past_conversations_are_listed_and_opened(fake: FakeServer, reader: Reader) -> None:
    fake.scripts |= {"First?": script("The first."), "Second?": script("The second.")}
    navigation = reader.page.get_by_role("navigation", name="Conversations")
    for question in fake.scripts:
        await reader.button("New conversation").click()
        await reader.ask(question)
        await reader.finished()
    await navigation.get_by_role("button", name="First?", exact=False).first.click()
    await reader.finished()
    assert await reader.words() == "The first."
    await expect(navigation.locator("[aria-current=page]")).to_contain_text("First?")
    assert await reader.focused() == "Conversation"


async def test_leaving_a_running_answer_does_not_stop_it(fake: FakeServer, reader: Reader) -> None:
    fake.scripts["?"] = script("Half of ", Hold(), "the answer.")
    await reader.ask("?")
    await expect(reader.prose).to_contain_text("Half of")
    await reader.button("New conversation").click()
    await expect(reader.button("Ask")).to_be_visible()
    fake.go_on()
    await reader.page.locator(".entry").first.click()
    await reader.finished()
    assert await reader.words() == "Half of the answer."


async def test_deleting_asks_first(fake: FakeServer, reader: Reader) -> None:
    await reader.ask("anything")
    await reader.finished()
    dialog = reader.page.get_by_role("dialog", name="Delete this conversation?")
    await reader.button("Delete “anything”").click()
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(reader.page.locator(".entry")).to_have_count(1)
    await reader.button("Delete “anything”").click()
    await dialog.get_by_role("button", name="Delete").click()
    await expect(reader.page.locator(".entry")).to_have_count(0)
    await expect(reader.page.locator(".turn")).to_have_count(0)
    await expect(reader.button("New conversation")).to_be_focused()
    assert fake.runs == {}


async def test_an_example_question_is_asked(fake: FakeServer, reader: Reader) -> None:
    await reader.button("How do I install Footnote?").click()
    await reader.finished()
    assert fake.last_run().question == "How do I install Footnote?"


async def test_a_server_without_documents_says_how_to_add_some(fake: FakeServer, visit: OpenReader) -> None:
    fake.collection_names = []
    reader = await visit(fake.url)
    await expect(reader.page.get_by_text("footnote ingest PATH")).to_be_visible()


async def test_one_of_several_collections_can_be_chosen(fake: FakeServer, visit: OpenReader) -> None:
    fake.collection_names = ["handbook", "recipes"]
    reader = await visit(fake.url)
    await reader.page.get_by_label("Documents to ask").select_option("recipes")
    await reader.ask("anything")
    await reader.finished()
    assert fake.last_run().collection == "recipes"


async def test_the_widget_lives_in_another_site_s_page(fake: FakeServer, visit: OpenReader) -> None:
    with serving(FakeServer()) as elsewhere:
        reader = await visit(elsewhere.url, f"/embed?from={fake.url}")
        for name, value in {"text-transform": "none", "text-align": "start", "color": "rgb(33, 29, 24)"}.items():
            await expect(reader.page.get_by_text("Help")).to_have_css(name, value)
        await expect(reader.button("Ask")).not_to_have_css("background-color", "rgb(0, 255, 0)")
        await expect(reader.page.get_by_role("navigation")).to_be_hidden()  # narrow by its own width
        await reader.button("Two?").click()
        await reader.finished()
        await reader.marker(1).click()
        await expect(reader.panel.locator("mark")).to_be_in_viewport()
        assert fake.last_run().collection == "handbook"
        assert elsewhere.requests == []
        await reader.page.evaluate("document.querySelector('footnote-chat').remove()")
