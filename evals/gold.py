"""Gold: where in the collection each question's answer stands."""

from collections.abc import Sequence

from app.domain.errors import InvalidInput
from evals.datasets.questions import AskedQuestion
from evals.metrics.places import Place
from evals.service import ListedDocument, Service


async def gold_places(
    service: Service, collection: str, documents: Sequence[ListedDocument], questions: Sequence[AskedQuestion]
) -> dict[str, list[Place]]:
    """Each question's spans, or its whole documents when it names no span.

    Raises InvalidInput for a document or a quote that is not in the collection.
    """
    texts: dict[str, str] = {}
    places: dict[str, list[Place]] = {}
    for question in questions:
        found: list[Place] = []
        for span in question.spans or [None] * len(question.documents):
            name = span.document if span is not None else question.documents[len(found)]
            document = _named(name, documents, question, collection)
            if document.id not in texts:
                texts[document.id] = await service.text(document.id)
            text, quote = texts[document.id], span.quote if span is not None else texts[document.id]
            start = text.find(quote)
            if start < 0 or not quote:
                raise InvalidInput(f"{question.id}: {name} does not contain the quote {quote[:80]!r}.")
            found.append(Place(document.id, start, start + len(quote)))
        places[question.id] = found
    return places


def _named(name: str, documents: Sequence[ListedDocument], question: AskedQuestion, collection: str) -> ListedDocument:
    found = [each for each in documents if each.uri == name or each.uri.endswith(f"/{name}")]
    if len(found) != 1:
        raise InvalidInput(
            f"{question.id}: {len(found)} documents of the collection {collection} have a URI that ends with /{name}; "
            "name the one that is meant by more or less of its URI."
        )
    return found[0]
