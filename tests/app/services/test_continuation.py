"""Continuation: whatever clients have of a first writing, they end with what the second one says."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.run import Citation, RetrievalCompleted, RunCompleted, RunEvent, TextDelta, TextRewind, Usage
from app.services.continuation import Continuation
from app.services.outcome import AnswerSoFar

SENTENCES = ("One. ", "Two is more. ", "Three! ", "Two is less. ")


def written(sentences: list[str], cuts: list[int], quotes: list[int]) -> list[RunEvent]:
    """The events of an answer: its text in pieces, each sentence's footnotes after it."""
    events: list[RunEvent] = [RetrievalCompleted(())]
    text = "".join(sentences)
    ends = []
    for sentence in sentences:
        ends.append((ends[-1] if ends else 0) + len(sentence))
    at, due = 0, 0
    for cut in sorted({min(cut, len(text)) for cut in cuts} | {len(text)}):
        if cut > at:
            events.append(TextDelta(text[at:cut]))
            at = cut
        while due < len(ends) and ends[due] <= at:
            start = ends[due] - len(sentences[due])
            quote = quotes[due % len(quotes)] if quotes else 0
            events += [_citation(start, ends[due], n) for n in range(quote)]
            due += 1
    return [*events, Usage(1, len(sentences)), RunCompleted("stop")]


def _citation(start: int, end: int, quote: int) -> Citation:
    return Citation(quote + 1, start, end - 1, "p", "d", quote, quote + 1, "q", 1.0, "supported")


def folded(events: list[RunEvent]) -> AnswerSoFar:
    answer = AnswerSoFar()
    for event in events:
        answer.add(event)
    return answer


answers = st.builds(
    written,
    st.lists(st.sampled_from(SENTENCES), max_size=5),
    st.lists(st.integers(0, 60), max_size=12),
    st.lists(st.integers(0, 2), max_size=4),
)


@given(answers, answers, st.integers(0, 40))
def test_clients_end_with_what_the_second_writing_says(first: list[RunEvent], second: list[RunEvent], cut: int) -> None:
    seen = [event for event in first[:cut] if not isinstance(event, RunCompleted)]
    shown = folded(seen)
    continuation = Continuation(shown)
    told = [needed for event in second for needed in continuation.feed(event)]
    assert folded(seen + told) == folded(second)


@given(answers, st.integers(0, 40))
def test_the_same_again_takes_nothing_back_and_repeats_nothing(answer: list[RunEvent], cut: int) -> None:
    seen = [event for event in answer[:cut] if not isinstance(event, RunCompleted)]
    continuation = Continuation(folded(seen))
    told = [needed for event in answer for needed in continuation.feed(event)]
    assert not any(isinstance(event, TextRewind) for event in told)
    assert seen + told == answer
