"""An answer: it appears as it is written, and its footnotes open the words it rests on."""

import asyncio
import re

from playwright.async_api import expect

from tests.browser.conftest import OpenReader
from tests.browser.fake_server import FakeServer
from tests.browser.reader import Reader, Site, plain
from tests.browser.script import INSTALL, STOPPING, Event, Hold, Sentence, completed, script


async def test_the_text_appears_while_it_is_written(visit: OpenReader, site: Site) -> None:
    reader = await visit(site.url)
    await reader.ask(site.question)
    lengths: set[int] = set()
    async with asyncio.timeout(30):
        while not await reader.answer.get_by_role("button", name="Copy the answer").is_visible():
            lengths.add(len(await reader.words()))
            await asyncio.sleep(0.02)
    assert len(lengths - {0}) >= 5
    assert await reader.words() == plain((await reader.stored())["text"])


async def test_a_footnote_opens_the_quoted_words_in_their_document(visit: OpenReader, site: Site) -> None:
    reader = await visit(site.url)
    await reader.ask(site.question)
    await reader.finished()
    stored = await reader.stored()
    cited = next(citation for citation in stored["citations"] if citation["index"] == 1)
    passage = next(passage for passage in stored["passages"] if passage["id"] == cited["passage_id"])
    path = f"/v1/documents/{cited['document_id']}?version={passage['version_id']}"
    text: str = (await reader.fetch(path))["text"]

    await reader.marker(1).click()
    mark = reader.panel.locator("mark")
    await expect(mark).to_have_text(text[cited["char_start"] : cited["char_end"]])
    await expect(mark).to_be_in_viewport()
    await expect(reader.panel.get_by_role("heading")).to_have_text(passage["title"])
    await reader.page.keyboard.press("Escape")
    await expect(reader.panel).to_be_hidden()
    await expect(reader.marker(1)).to_be_focused()


async def test_a_footnote_stands_behind_its_sentence_as_soon_as_it_is_known(fake: FakeServer, reader: Reader) -> None:
    first = Sentence("You need Python 3.11 or newer and uv. ", INSTALL, "You need Python 3.11 or newer and uv")
    fake.scripts["?"] = script(first, "More", Hold(), " follows.")
    await reader.ask("?")
    await expect(reader.marker(1)).to_be_visible()
    await expect(reader.prose).to_contain_text("More")
    assert not await reader.answer.get_by_text("follows").is_visible()
    assert await reader.prose.inner_text() == "You need Python 3.11 or newer and uv.1 More"
    fake.go_on()
    await reader.finished()
    assert await reader.prose.inner_text() == "You need Python 3.11 or newer and uv.1 More follows."


async def test_each_verdict_looks_and_reads_differently(fake: FakeServer, reader: Reader) -> None:
    await reader.ask("anything")
    await reader.finished()
    await expect(reader.marker(1)).to_have_accessible_name(re.compile("^Footnote 1: Installing Footnote"))
    await expect(reader.marker(2)).to_have_accessible_name(re.compile("^Footnote 2, supports this in part: "))
    unsupported = reader.prose.locator(".unsupported")
    await expect(unsupported).to_have_text("It also makes coffee.")
    await expect(unsupported).to_have_css("text-decoration-style", "dotted")
    await expect(unsupported).to_have_attribute("title", "Not found in the documents")
    await expect(reader.prose.locator(".unsupported + .visually-hidden")).to_have_text("(not found in the documents)")
    await expect(reader.answer.locator(".legend")).to_contain_text("supported in part")


async def test_the_list_names_title_headings_page_and_quote(reader: Reader) -> None:
    await reader.ask("anything")
    await reader.finished()
    note = reader.answer.get_by_role("region", name="Footnotes").get_by_role("listitem").nth(2)
    await expect(note).to_contain_text("Answers while they are written")
    await expect(note).to_contain_text("Answers › Stopping and leaving › page 12")
    await expect(note).to_contain_text("What was written so far is kept.")
    await note.get_by_role("button").click()
    await expect(reader.panel.locator("mark")).to_have_text("What was written so far is kept.")


async def test_the_panel_leads_through_the_footnotes(reader: Reader) -> None:
    await reader.ask("anything")
    await reader.finished()
    await reader.marker(1).click()
    await expect(reader.panel.get_by_role("link")).to_have_attribute("href", INSTALL.uri)
    await expect(reader.button("Previous")).to_be_disabled()
    await reader.button("Next").click()
    await reader.button("Next").click()
    await expect(reader.panel.get_by_role("heading")).to_have_text(STOPPING.title)
    await expect(reader.panel.locator("mark")).to_have_text("What was written so far is kept.")
    await expect(reader.panel.get_by_role("link")).to_have_count(0)  # its source is a file, not on the web
    await expect(reader.button("Next")).to_be_disabled()


async def test_offsets_count_code_points_where_javascript_counts_units(fake: FakeServer, reader: Reader) -> None:
    quote = "letters 👩‍👩‍👧 count too."
    fake.scripts["?"] = script(
        Sentence("𝔘𝔫𝔦𝔠𝔬𝔡𝔢 🎉🎉 first. ", STOPPING, "Stopping an answer"),
        Sentence("👩‍👩‍👧 second 👍🏽. ", STOPPING, quote),
        Sentence("Third 🚀."),
    )
    await reader.ask("?")
    await reader.finished()
    sentences = await reader.prose.locator(".sentence").all_inner_texts()
    assert sentences == ["𝔘𝔫𝔦𝔠𝔬𝔡𝔢 🎉🎉 first.", "👩‍👩‍👧 second 👍🏽.", "Third 🚀."]
    await reader.marker(2).click()
    await expect(reader.panel.locator(".context").last).to_contain_text("Closing the page")  # the document is there
    await expect(reader.panel.locator("mark")).to_have_text(quote)


async def test_a_rewind_takes_back_text_and_footnotes(fake: FakeServer, reader: Reader) -> None:
    kept = Sentence("🎉 Kept. ", STOPPING, "Stopping an answer")
    lost = Sentence("Taken back. ", STOPPING, "What was written so far is kept.")
    events = script(kept, lost)[:-2]
    rest = [Event("text.delta", {"text": "Written instead."}), completed()]
    fake.scripts["?"] = [*events, Hold(), Event("text.rewind", {"to": len(kept.text)}), *rest]
    await reader.ask("?")
    await expect(reader.marker(2)).to_be_visible()
    fake.go_on()
    await reader.finished()
    assert await reader.prose.inner_text() == "🎉 Kept.1 Written instead."
    await expect(reader.marker(2)).to_have_count(0)


async def test_a_document_that_is_gone_leaves_its_passage(fake: FakeServer, reader: Reader) -> None:
    events = script(Sentence("Kept.", STOPPING, "What was written so far is kept."))
    for event in events:
        if isinstance(event, Event):
            for pointing in [event.data, *event.data.get("passages", [])]:
                pointing.update({key: "gone" for key in ("document_id", "version_id") if key in pointing})
    fake.scripts["?"] = events
    await reader.ask("?")
    await reader.finished()
    await reader.marker(1).click()
    await expect(reader.panel).to_contain_text("The document is no longer there")
    await expect(reader.panel.locator("mark")).to_have_text("What was written so far is kept.")


async def test_a_long_document_shows_the_whole_text_on_request(reader: Reader) -> None:
    await reader.ask("anything")
    await reader.finished()
    await reader.marker(1).click()
    more = reader.panel.get_by_role("button", name="Show the whole document")
    await expect(more).to_be_visible()
    await more.click()
    shown = await reader.panel.locator(".document p").first.text_content()
    assert shown == INSTALL.text
    await expect(reader.panel.locator("mark")).to_be_in_viewport()


async def test_a_refusal_offers_the_nearest_passages(fake: FakeServer, reader: Reader) -> None:
    passages = script(Sentence("x", INSTALL, "Footnote runs on Linux"))[0]
    fake.scripts["?"] = [passages, Event("text.delta", {"text": "The documents do not say."}), completed("refused")]
    await reader.ask("?")
    nearest = reader.answer.get_by_role("region", name="Nearest passages")
    await nearest.get_by_role("button").click()
    await expect(reader.panel.locator("mark")).to_have_text("Footnote runs on Linux and macOS.")


async def test_copying_takes_the_footnotes_along(visit: OpenReader, fake: FakeServer) -> None:
    reader = await visit(fake.url, permissions=["clipboard-read", "clipboard-write"])
    await reader.ask("anything")
    await reader.finished()
    await reader.button("Copy the answer").click()
    await expect(reader.answer.get_by_text("Copied")).to_be_visible()
    copied = await reader.page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("You need Python 3.11 or newer and uv. [1] One command installs")
    assert "[3] Answers while they are written, Answers › Stopping and leaving › page 12: “What was" in copied


async def test_a_reader_who_scrolled_up_is_left_there(fake: FakeServer, reader: Reader) -> None:
    fake.scripts["?"] = script("Line.\n\n" * 60, Hold(), "\n\nThe end." + "\n\nLine." * 30)
    await reader.ask("?")
    await expect(reader.prose.locator("p")).to_have_count(60)
    reading = reader.page.get_by_role("region", name="Conversation")
    at_end = "(box) => box.scrollHeight - box.scrollTop - box.clientHeight < 2"
    assert await reading.evaluate(at_end)
    await reading.evaluate("(box) => { box.scrollTop = 100; }")
    await expect(reader.button("Latest")).to_be_visible()
    fake.go_on()
    await reader.finished()
    assert await reading.evaluate("(box) => box.scrollTop") == 100
    await reader.button("Latest").click()
    assert await reading.evaluate(at_end)
    await expect(reader.button("Latest")).to_be_hidden()


async def test_focus_and_selection_outlive_the_growing_text(fake: FakeServer, reader: Reader) -> None:
    first = Sentence("You need Python 3.11 or newer and uv. ", INSTALL, "You need Python 3.11 or newer and uv")
    fake.scripts["?"] = script(first, "Go", Hold(), "ing on in the same paragraph.")
    await reader.ask("?")
    await expect(reader.prose).to_contain_text("Go")
    await reader.marker(1).focus()
    fake.go_on()
    await reader.finished()
    await expect(reader.marker(1)).to_be_focused()


async def test_an_answer_can_be_rated_and_the_rating_taken_back(reader: Reader, fake: FakeServer) -> None:
    await reader.ask("How do I install Footnote?")
    good, bad = reader.button("Good answer"), reader.button("Bad answer")
    await good.click()
    await expect(good).to_have_attribute("aria-pressed", "true")
    await expect(good).to_be_focused()
    await bad.click()
    await expect(good).to_have_attribute("aria-pressed", "false")
    await bad.click()
    await expect(bad).to_have_attribute("aria-pressed", "false")
    assert [rating for _, rating in fake.ratings] == ["up", "down", None]
    assert len({message_id for message_id, _ in fake.ratings}) == 1


async def test_a_bad_answer_can_be_commented_on(reader: Reader, fake: FakeServer) -> None:
    await reader.ask("How do I install Footnote?")
    field = reader.page.get_by_role("textbox", name="What is wrong with this answer")
    await expect(field).to_have_count(0)
    await reader.button("Bad answer").click()
    await reader.button("Send").click()
    await expect(field).to_be_focused()
    await field.fill("It is about Windows.")
    fake.refuse_rating = True
    await reader.button("Send").click()
    await expect(reader.answer.get_by_text("The rating was not kept: PostgreSQL is not reachable.")).to_be_visible()
    await expect(field).to_have_value("It is about Windows.")
    fake.refuse_rating = False
    await reader.button("Send").click()
    await expect(reader.page.get_by_text("your comment was kept")).to_be_visible()
    assert (fake.comments, fake.ratings[-1][1]) == (["It is about Windows."], "down")
    await reader.button("Good answer").click()
    await expect(reader.page.get_by_text("your comment was kept")).to_have_count(0)


async def test_a_rating_is_there_after_a_reload(visit: OpenReader, site: Site) -> None:
    reader = await visit(site.url)
    await reader.ask(site.question)
    await reader.finished()
    await reader.button("Bad answer").click()
    await reader.page.get_by_role("textbox", name="What is wrong with this answer").fill("It is about Windows.")
    await reader.button("Send").click()
    await expect(reader.page.get_by_text("your comment was kept")).to_be_visible()
    await reader.page.reload()
    await expect(reader.button("Bad answer")).to_have_attribute("aria-pressed", "true")
    await expect(reader.page.get_by_text("your comment was kept")).to_be_visible()


async def test_a_rating_that_is_not_kept_is_not_shown(reader: Reader, fake: FakeServer) -> None:
    fake.refuse_rating = True
    await reader.ask("How do I install Footnote?")
    await reader.button("Good answer").click()
    told = reader.answer.get_by_text("The rating was not kept: PostgreSQL is not reachable.")
    await expect(told).to_be_visible()
    await expect(reader.button("Good answer")).to_have_attribute("aria-pressed", "false")
    fake.refuse_rating = False
    await reader.button("Good answer").click()
    await expect(told).to_be_hidden()
