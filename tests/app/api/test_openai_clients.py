"""Other clients of OpenAI's protocols: the npm package, LangChain, LlamaIndex."""

from collections.abc import Callable
from typing import Any

import openai
import pytest
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from tests.fixtures.openai_clients import close_clients
from tests.fixtures.server import Server

pytestmark = pytest.mark.usefixtures("corpus")
QUESTION = "When does the ferry to Holm Island leave?"
ANSWER = "every hour from 07:00 to 22:00"


def test_the_npm_package(node: Callable[..., Any], server: Server) -> None:
    done = node("openai.mjs", server.url)
    assert done["models"][0] == "footnote"
    assert done["pieces"] > 5
    text = done["streamed"]["choices"][0]["message"]["content"]
    assert ANSWER in text
    assert done["whole"]["choices"][0]["message"]["content"] == text
    assert done["again"]["choices"][0]["message"]["content"] == text
    assert done["streamed"]["usage"] == done["again"]["usage"]
    assert [failed["status"] for failed in done["failed"]] == [502, None, 502, None]
    assert {failed["code"] for failed in done["failed"]} == {"provider_unavailable"}
    assert done["response"]["output_text"] == text
    assert done["resumed"] == done["expected"] != []
    assert done["cancelled"] == "cancelled"
    assert done["dimensions"] == 64


def test_langchain(server: Server) -> None:
    model = ChatOpenAI(model="footnote", base_url=f"{server.url}/v1", api_key="any", max_retries=0, stream_usage=True)  # type: ignore[call-arg, arg-type]
    pieces = list(model.stream(QUESTION))
    assert len(pieces) > 5
    text = "".join(str(piece.content) for piece in pieces)
    assert ANSWER in text
    whole = model.invoke([("system", "Be brief."), ("user", QUESTION)])
    assert whole.content == text
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] > 0
    with pytest.raises(openai.APIError, match="scripted model failed"):
        list(model.stream(f"{QUESTION} [[fail-after=3]]"))
    for method in ("json_schema", "function_calling"):
        with pytest.raises(openai.UnprocessableEntityError, match=r"response_format|tool_choice"):
            model.with_structured_output({"title": "Answer", "type": "object", "properties": {}}, method=method).invoke(
                QUESTION
            )
    responses = ChatOpenAI(model="footnote", base_url=f"{server.url}/v1", api_key="any", use_responses_api=True)  # type: ignore[call-arg, arg-type]
    answer = responses.invoke(QUESTION)
    assert answer.text == text
    embeddings = OpenAIEmbeddings(model="footnote-embedder", base_url=f"{server.url}/v1", api_key="any")  # type: ignore[call-arg, arg-type]
    assert [len(vector) for vector in embeddings.embed_documents(["The ferry leaves.", "Bread."])] == [64, 64]
    close_clients(model, responses, embeddings.client._client)


def test_llamaindex(server: Server) -> None:
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.openai_like import OpenAILike

    model = OpenAILike(model="footnote", api_base=f"{server.url}/v1", api_key="any", is_chat_model=True, max_retries=0)
    whole = model.chat([ChatMessage(role="user", content=QUESTION)])
    assert ANSWER in str(whole.message.content)
    streamed = list(model.stream_chat([ChatMessage(role="user", content=QUESTION)]))
    assert len(streamed) > 5
    assert streamed[-1].message.content == whole.message.content
    with pytest.raises(openai.APIError, match="scripted model failed"):
        list(model.stream_chat([ChatMessage(role="user", content=f"{QUESTION} [[fail-after=3]]")]))
    close_clients(model)
