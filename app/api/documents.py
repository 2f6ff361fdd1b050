"""Documents: collections, documents, their text, and searching it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from app.api.chat import CollectionName, FilterBody
from app.api.dependencies import PrincipalDep, ServicesDep, VisitorDep
from app.api.problems import RESPONSES
from app.api.text import MAX_INTEGER, Name, Text
from app.api.visitors import document_for
from app.domain.document import CollectionSummary, DocumentSummary, DocumentText
from app.domain.errors import DocumentNotFound, InvalidInput
from app.domain.passage import Leg, Passage
from app.services.retrieval import SearchRequest

router = APIRouter(tags=["documents"], responses=RESPONSES)


class SearchBody(BaseModel):
    """What to search for, and where."""

    model_config = ConfigDict(extra="forbid")

    query: Text = Field(min_length=1, examples=["embed the widget"])
    k: int = Field(10, ge=1, le=100, description="How many passages.")
    collection: CollectionName | None = None
    filter: FilterBody = None
    leg: Leg = Field("hybrid", description="Both retrieval legs fused, or one alone.")


class Passages(BaseModel):
    """Passages, best first.

    With a reranker, `reranked` says whether it ordered them and `rerank_problem` why it did not; without one both are
    left out.
    """

    passages: list[Passage]
    reranked: bool | None = Field(None, exclude_if=lambda value: value is None)
    rerank_problem: str | None = Field(None, exclude_if=lambda value: value is None)


class Collections(BaseModel):
    """Collections by name."""

    collections: list[CollectionSummary]


class DocumentPage(BaseModel):
    """Documents by collection and URI."""

    documents: list[DocumentSummary]


@router.post("/v1/search")
async def search(body: SearchBody, principal: PrincipalDep, services: ServicesDep) -> Passages:
    """The passages that fit the query best."""
    limit = services.settings.max_message_chars
    if len(body.query) > limit:
        raise InvalidInput(f"query: it has {len(body.query)} characters, the limit is {limit}")
    request = SearchRequest(body.query, body.k, body.collection, body.filter, body.leg)
    found = await services.retrieval.ranked(principal, request)
    return Passages(passages=found.passages, reranked=found.applied, rerank_problem=found.reason)


@router.get("/v1/collections")
async def list_collections(principal: PrincipalDep, services: ServicesDep) -> Collections:
    """Every collection with its number of documents."""
    return Collections(collections=await services.documents.collections(principal.workspace_id))


@router.delete("/v1/collections/{name:path}", status_code=204)
async def delete_collection(name: Annotated[Name, Path()], principal: PrincipalDep, services: ServicesDep) -> None:
    """Delete a collection with all its documents: from now on no search finds them and no citation opens them."""
    await services.uploads.delete_collection(principal, name)


@router.get("/v1/documents")
async def list_documents(
    principal: PrincipalDep,
    services: ServicesDep,
    collection: Annotated[Name | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=MAX_INTEGER)] = 0,
) -> DocumentPage:
    """Documents by collection and URI."""
    found = await services.documents.page(principal.workspace_id, collection, limit=limit, offset=offset)
    return DocumentPage(documents=found)


@router.get("/v1/documents/{document_id}")
async def get_document(
    document_id: UUID,
    principal: VisitorDep,
    services: ServicesDep,
    version: Annotated[
        UUID | None, Query(description="A version that a citation names; the current one without.")
    ] = None,
) -> DocumentText:
    """A document's text, which citations point into."""
    document = await services.documents.text(principal.workspace_id, document_id, version)
    if not principal.may_see(document.collection):
        raise DocumentNotFound
    return document_for(principal, document)
