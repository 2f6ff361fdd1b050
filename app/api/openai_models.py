"""OpenAI models and embeddings: what runs here, and its vectors."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Annotated, Any, Literal, cast

import numpy as np
from fastapi import APIRouter
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from app.api.dependencies import PrincipalDep, ServicesDep
from app.api.problems import RESPONSES
from app.api.text import Whole
from app.api.turns import ALIAS
from app.bootstrap import Services
from app.domain.errors import InvalidInput, ModelNotFound

router = APIRouter(tags=["openai"], responses=RESPONSES)

EMBEDDER_ALIAS = "footnote-embedder"

Tokens = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]


def _one_kind(given: Any, validated: ValidatorFunctionWrapHandler) -> Any:
    try:
        return validated(given)
    except ValidationError as error:
        raise ValueError(
            "send a text, a list of texts, a list of tokens or a list of such lists, none empty"
        ) from error


class EmbeddingsBody(BaseModel):
    """Texts, or texts as cl100k_base tokens."""

    model_config = ConfigDict(extra="ignore")

    model: str = Field(EMBEDDER_ALIAS, max_length=200)
    input: Annotated[
        str | Tokens | Annotated[list[str] | list[Tokens], Field(min_length=1)], WrapValidator(_one_kind), Whole
    ]
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: int | None = Field(None, ge=1)
    input_type: Literal["passage", "query"] = Field(
        "passage", description="Footnote's own: some embedders treat questions otherwise than passages."
    )

    def texts(self) -> Sequence[str | Sequence[int]]:
        """One or several, each as text or as tokens."""
        if isinstance(self.input, str):
            return [self.input]
        if all(isinstance(item, int) for item in self.input):
            return [cast("list[int]", self.input)]
        return cast("list[str | Sequence[int]]", self.input)


@router.get("/v1/models")
async def models(_principal: PrincipalDep, services: ServicesDep) -> dict[str, Any]:
    """The chat model and the embedder, each by its own name and by the one that never changes."""
    return {"object": "list", "data": [_model(name) for name in _names(services)]}


@router.get("/v1/models/{name:path}")
async def model(name: str, _principal: PrincipalDep, services: ServicesDep) -> dict[str, Any]:
    """One of them."""
    if name not in _names(services):
        raise ModelNotFound(f"There is no model {name!r} here; `GET /v1/models` lists them.")
    return _model(name)


@router.post("/v1/embeddings")
async def embeddings(body: EmbeddingsBody, _principal: PrincipalDep, services: ServicesDep) -> dict[str, Any]:
    """Unit-length vectors of the embedder that the index uses, in the order of the inputs."""
    embedder = services.embedder
    if body.model not in {EMBEDDER_ALIAS, embedder.name}:
        raise ModelNotFound(
            f"There is no embedder {body.model!r} here; this server runs {embedder.name!r}, which is also called "
            f"{EMBEDDER_ALIAS!r}."
        )
    if body.dimensions not in {None, embedder.dimensions}:
        raise InvalidInput(f"dimensions: {embedder.name} makes {embedder.dimensions}, not {body.dimensions}")
    done = await services.embedding.embed(body.texts(), queries=body.input_type == "query")
    usage = {"prompt_tokens": done.tokens, "total_tokens": done.tokens}
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(row, body.encoding_format)}
        for index, row in enumerate(done.vectors)
    ]
    return {"object": "list", "model": body.model, "data": data, "usage": usage}


def _vector(row: NDArray[np.float32], encoding: Literal["float", "base64"] | None) -> str | list[float]:
    """As numbers, or as the base64 of little-endian float32."""
    return b64encode(row.astype("<f4").tobytes()).decode() if encoding == "base64" else row.tolist()


def _names(services: Services) -> list[str]:
    return list(dict.fromkeys([ALIAS, services.settings.chat_model, EMBEDDER_ALIAS, services.embedder.name]))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "footnote"}
