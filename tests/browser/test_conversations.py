"""Conversations: begun, listed, opened again, deleted; and the widget in someone else's page."""

from playwright.async_api import expect

from tests.browser.conftest import OpenReader
from tests.browser.fake_server import FakeRun, FakeServer, serving
from tests.browser.reader import Reader
from tests.browser.script import Event, Hold, script


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


def tell_stored(fake: FakeServer, count: int) -> None:
    """Let the server have so many answered conversations, the last one the newest."""
    for number in range(1, count + 1):
        ended = [Event("text.delta", {"text": "Yes."}), Event("run.completed", {"finish_reason": "stop"})]
        run = FakeRun(f"old-{number}", f"conversation-old-{number}", f"Question {number}", events=ended)
        fake.runs[run.id] = run


async def test_older_conversations_are_listed_when_asked_for(fake: FakeServer, visit: OpenReader) -> None:
    tell_stored(fake, 320)
    reader = await visit(fake.url)
    opened = reader.page.locator("[data-open]")
    older = reader.button("Show older conversations")
    await expect(opened).to_have_count(50)
    await older.focus()
    for shown in (100, 150, 200, 250, 300):
        await reader.page.keyboard.press("Enter")
        await expect(opened).to_have_count(shown)
        assert (await reader.focused()).startswith(f"Question {320 - shown + 50}")  # the first that came
        await expect(reader.page.get_by_text("50 older conversations listed")).to_have_count(1)
        await older.focus()
    await reader.page.keyboard.press("Enter")
    await expect(opened).to_have_count(320)
    await expect(older).to_have_count(0)
    names = await opened.locator(".title").all_inner_texts()
    assert names == [f"Question {number}" for number in range(320, 0, -1)]
    await opened.last.click()
    await expect(reader.page.get_by_role("heading", name="Question 1", exact=True)).to_be_visible()
    await reader.ask("More")  # the list is fetched again, as far as it is shown
    await reader.finished()
    await expect(opened).to_have_count(320)


async def test_no_older_conversations_are_offered_where_there_are_none(fake: FakeServer, visit: OpenReader) -> None:
    tell_stored(fake, 50)
    reader = await visit(fake.url)
    await expect(reader.page.locator("[data-open]")).to_have_count(50)
    await expect(reader.button("Show older conversations")).to_have_count(0)


async def test_older_conversations_that_do_not_come_can_be_asked_for_again(fake: FakeServer, visit: OpenReader) -> None:
    tell_stored(fake, 60)
    reader = await visit(fake.url)
    older = reader.button("Show older conversations")
    await reader.page.route("**/v1/conversations?*", lambda route: route.abort())
    await older.click()
    dialog = reader.page.get_by_role("dialog", name="No connection")
    await dialog.get_by_role("button", name="Close").click()
    await reader.page.unroute("**/v1/conversations?*")
    await older.click()
    await expect(reader.page.locator("[data-open]")).to_have_count(60)


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


async def test_two_widgets_of_a_page_have_a_conversation_each(fake: FakeServer, reader: Reader) -> None:
    await reader.embed("footnote-chat { height: 45vh; }", widgets=2)
    widgets = [reader.page.locator("footnote-chat").nth(place) for place in (0, 1)]
    for number, widget in enumerate(widgets):
        await widget.get_by_label("Your question").fill(f"Question {number}?")
        await widget.get_by_label("Your question").press("Enter")
        await widget.get_by_role("button", name="Copy the answer").wait_for()
        await widget.get_by_label("Your question").fill(f"Draft {number}")
    await reader.page.reload()
    for number, widget in enumerate(widgets):
        await expect(widget.locator("h2.question")).to_have_text([f"Question {number}?"])
        await expect(widget.get_by_label("Your question")).to_have_value(f"Draft {number}")
    assert len({run.conversation_id for run in fake.runs.values()}) == 2
    await widgets[0].evaluate("it => { const around = it.parentNode; it.remove(); around.append(it); }")
    await expect(widgets[1].locator("h2.question")).to_have_text(["Question 0?"])  # moved, and still itself


async def test_a_key_that_one_widget_got_serves_the_other_after_a_reload(fake: FakeServer, visit: OpenReader) -> None:
    fake.api_key = "a-key-of-this-test"
    reader = await visit(fake.url)
    await reader.embed("footnote-chat { height: 45vh; }", widgets=2)
    second = reader.page.locator("footnote-chat").last
    await second.get_by_label("API key").fill(fake.api_key)
    await second.get_by_label("API key").press("Enter")
    await expect(second.get_by_role("dialog")).to_have_count(0)
    await reader.page.reload()
    await expect(reader.page.get_by_text("Searched here: 2 documents.")).to_have_count(2)
    await expect(reader.page.get_by_role("dialog")).to_have_count(0)


async def test_what_a_tab_remembers_of_a_single_widget_is_kept(fake: FakeServer, reader: Reader) -> None:
    tell_stored(fake, 1)
    values = (
        f"""{{ "footnote:{fake.url}  conversation": "conversation-old-1", "footnote:{fake.url}  draft": "More" }}"""
    )
    await reader.page.evaluate(f"Object.entries({values}).forEach(([name, it]) => sessionStorage.setItem(name, it))")
    await reader.page.reload()
    await expect(reader.page.get_by_role("heading", name="Question 1")).to_be_visible()
    await expect(reader.field).to_have_value("More")


async def test_a_question_for_a_conversation_that_was_deleted_begins_a_new_one(
    fake: FakeServer, reader: Reader
) -> None:
    await reader.ask("First?")
    await reader.finished()
    fake.runs.clear()  # in another tab
    await reader.ask("Second?")
    await expect(reader.answer.get_by_role("alert")).to_contain_text("This conversation was deleted")
    await reader.button("Try again").click()
    await reader.finished()
    await expect(reader.page.locator("h2.question")).to_have_text(["Second?"])
    await reader.page.reload()
    await reader.finished()
    await expect(reader.page.locator("h2.question")).to_have_text(["Second?"])


async def test_visitors_are_shown_no_list_and_keep_their_conversation(fake: FakeServer, visit: OpenReader) -> None:
    fake.only_asking = True
    reader = await visit(fake.url)
    navigation = reader.page.get_by_role("navigation", name="Conversations")
    await expect(navigation).to_have_count(0)
    await reader.ask("anything")
    await reader.finished()
    await reader.marker(1).click()
    await expect(reader.panel.locator("mark")).to_have_text("You need Python 3.11 or newer and uv")
    await reader.button("Close").click()
    await reader.page.reload()
    await reader.finished()
    await reader.ask("more")
    await expect(reader.page.locator(".turn")).to_have_count(2)
    await reader.finished()
    assert len({run.conversation_id for run in fake.runs.values()}) == 1
    for width in (1280, 390):
        await reader.page.set_viewport_size({"width": width, "height": 800})
        await expect(navigation).to_have_count(0)
        await expect(reader.button("Conversations")).to_have_count(0)
        await expect(reader.button("New conversation")).to_have_count(1)
    await reader.button("New conversation").click()
    await expect(reader.page.locator(".turn")).to_have_count(0)


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


async def test_a_page_that_loads_the_module_twice_has_one_widget(fake: FakeServer, visit: OpenReader) -> None:
    reader = await visit(fake.url)
    await reader.page.evaluate("import('/widget/footnote.js?again')")
    await reader.ask("anything")
    await reader.finished()


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
