"""A question back, as clients of each protocol see it."""

import httpx
import openai
import pytest

from app.services.understanding import ASK_FOR_ANYTHING
from tests.fixtures.server import Server, chat, text_of

pytestmark = pytest.mark.usefixtures("corpus")


async def test_it_is_an_answer_with_a_finish_reason_of_its_own_and_the_conversation_goes_on(
    client: httpx.AsyncClient,
) -> None:
    events = await chat(client, "What about that one?")
    assert (text_of(events), events[-1].data) == (ASK_FOR_ANYTHING, {"finish_reason": "clarify"})
    assert [event.type for event in events if event.type == "citation"] == []
    conversation = events[0].data["conversation_id"]
    stored = (await client.get(f"/v1/conversations/{conversation}")).json()["messages"][-1]
    assert (stored["finish_reason"], stored["text"]) == ("clarify", ASK_FOR_ANYTHING)
    more = await chat(client, "The ferry to Holm Island: when does it leave?", conversation_id=conversation)
    assert more[-1].data == {"finish_reason": "stop"}


async def test_openai_clients_see_a_stop_and_can_tell_it_apart(server: Server) -> None:
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as sdk:
        done = await sdk.chat.completions.create(model="footnote", messages=[{"role": "user", "content": "Why?"}])
        response = await sdk.responses.create(model="footnote", input="Why?")
    assert (done.choices[0].finish_reason, done.choices[0].message.content) == ("stop", ASK_FOR_ANYTHING)
    assert done.model_extra is not None
    assert done.model_extra["footnote"]["finish_reason"] == "clarify"
    assert (response.status, response.output_text) == ("completed", ASK_FOR_ANYTHING)
