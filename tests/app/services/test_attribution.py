from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.passage import Passage
from app.domain.run import Citation
from app.domain.sentences import Sentence, split
from app.services.attribution import PARTIAL, SUPPORTED, Attributor

SERVER = (
    "The server listens on port 8000 by default. Set FOOTNOTE_PORT to change it. It refuses to listen on another "
    "address than 127.0.0.1 unless an API key is set. A key needs at least 16 characters."
)
LIMITS = (
    "Uploads are limited to 25 MB. Larger files are rejected with a clear error. The retention period is 30 days, "
    "after which backups are deleted. Maria Keller has maintained the importer since 12 March 2021. Passwords are "
    "never logged."
)
CHINESE = "服务器默认监听8000端口。上传文件不能超过25MB。"


def passage(
    text: str, number: int = 1, *, start: int = 0, title: str = "Handbook", headings: tuple[str, ...] = ()
) -> Passage:
    return Passage(
        id=f"p{number}",
        document_id=f"d{number}",
        version_id=f"v{number}",
        title=title,
        uri=f"file{number}.md",
        heading_path=headings,
        page=None,
        char_start=start,
        char_end=start + len(text),
        text=text,
        score=1.0,
    )


PASSAGES = [passage(SERVER, 1, start=1000), passage(LIMITS, 2), passage(CHINESE, 3)]


def sentence(text: str) -> Sentence:
    return Sentence(7, 7 + len(text), text)


def cite(text: str, question: str = "") -> Citation:
    citation = Attributor(PASSAGES, question).attribute(sentence(text))
    assert citation is not None
    return citation


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("By default, the server listens on port 8000.", "The server listens on port 8000 by default."),
        ("A key must have at least 16 characters [1].", "A key needs at least 16 characters."),
        ("A key must have at least 16 characters. [1, 2]", "A key needs at least 16 characters."),
        ("A key must have at least 16 characters【4:0†source】.", "A key needs at least 16 characters."),
        ("A key must have at least 16 characters.［1］", "A key needs at least 16 characters."),
        ("Backups are deleted after thirty days.", "The retention period is 30 days, after which backups are deleted."),
        ("Uploads may not exceed 25 MB.", "Uploads are limited to 25 MB."),
        ("The importer is maintained by Keller.", "Maria Keller has maintained the importer since 12 March 2021."),
        ("Passwords are not logged.", "Passwords are never logged."),
        ("上传文件不能超过25MB。", "上传文件不能超过25MB。"),
    ],
)
def test_a_supported_sentence_is_cited_with_the_tightest_span(text: str, quote: str) -> None:
    citation = cite(text)
    assert (citation.verdict, citation.quote) == ("supported", quote)
    assert SUPPORTED <= citation.score <= 1


def test_what_stands_there_word_for_word_is_supported_whatever_else_stands_there() -> None:
    row = "| `FOOTNOTE_HOST` | `127.0.0.1` | Address to listen on; another than loopback needs API keys. |"
    said = "Footnote listens on 127.0.0.1 and needs no key there."
    attributor = Attributor([passage(row, 1), passage(f"To begin with, read this. {said}", 2)], "Which address?")
    for text in (said, f"**{said}**", "Footnote listens on `127.0.0.1` and needs no key there [1]."):
        found = attributor.attribute(sentence(text))
        assert found is not None
        assert (found.verdict, found.score, found.passage_id, found.quote) == ("supported", 1.0, "p2", said)


def test_offsets_point_into_the_document_version_and_the_answer() -> None:
    citation = cite("A key needs 16 characters.")
    start = 1000 + SERVER.index("A key needs")
    assert (citation.char_start, citation.char_end) == (start, 1000 + len(SERVER))
    assert (citation.sentence_start, citation.sentence_end) == (7, 7 + len("A key needs 16 characters."))
    assert (citation.passage_id, citation.document_id, citation.index) == ("p1", "d1", 0)


@pytest.mark.parametrize(
    "text",
    [
        "By default, the server listens on port 9000.",
        "Uploads are limited to 25 GB.",
        "Backups are deleted after thirty hours.",
        "Peter Keller has maintained the importer since March 2021.",
        "Maria Keller has maintained the importer since April 2021.",
        "Maria Keller has maintained the importer since March 2022.",
        "Backups are not deleted after 30 days.",
        "Passwords are logged.",
        "The moon is made of green cheese.",
        "默认监听9000端口。",
    ],
)
def test_a_changed_fact_is_unsupported_and_points_nowhere(text: str) -> None:
    citation = cite(text)
    assert citation.verdict == "unsupported"
    assert citation == Citation(0, 7, 7 + len(text), "", "", 0, 0, "", citation.score, "unsupported")


def test_a_sentence_that_says_more_than_the_passage_is_partly_supported() -> None:
    citation = cite("Backups are deleted monthly for everybody by an automatic nightly cleaning job.")
    assert citation.verdict == "unsupported"
    citation = cite("Backups are deleted after the retention period by an automatic cleaning job every night quietly.")
    assert citation.verdict == "partial"
    assert PARTIAL <= citation.score < SUPPORTED
    assert citation.quote.startswith("The retention period")


@pytest.mark.parametrize(
    "text",
    [
        "Here is what I found:",
        "Sure, I am happy to help!",
        "Which port do you mean?",
        "“端口是什么？”",
        "To do so, follow these steps:",
        "The provided documents do not mention the price.",
        "I could not find the price.",
        "Yes.",
        "🎉",
        "---",
    ],
)
def test_what_claims_nothing_has_no_citation(text: str) -> None:
    assert Attributor(PASSAGES).attribute(sentence(text)) is None
    assert Attributor(PASSAGES).citations(sentence(text)) == ()


def test_headings_and_code_have_no_citation() -> None:
    answer = "## The server listens\n\n```sh\nlistens on port 8000\n```\n"
    assert [Attributor(PASSAGES).attribute(s) for s in split(answer)] == [None, None]


def test_a_lead_in_with_a_fact_is_checked() -> None:
    assert cite("The server listens on port 9000:").verdict == "unsupported"


def test_a_sentence_may_rest_on_several_spans() -> None:
    text = "The server listens on port 8000, and backups are deleted after 30 days."
    main, other = Attributor(PASSAGES).citations(sentence(text))
    assert {main.document_id, other.document_id} == {"d1", "d2"}
    assert main.verdict == other.verdict == "supported"
    assert main.score == other.score


def test_spans_that_follow_each_other_become_one() -> None:
    text = "The server listens on port 8000 by default, which you change by setting FOOTNOTE_PORT."
    (citation,) = Attributor(PASSAGES).citations(sentence(text))
    assert citation.quote == "The server listens on port 8000 by default. Set FOOTNOTE_PORT to change it."


def test_one_more_word_draws_a_further_span_when_it_stands_beside_the_same_word() -> None:
    for further, drawn in (("Filming in Leeds took a week.", True), ("Leeds has a mill.", False)):
        passages = [passage(f"Filming began in York in spring 2012 at the old mill. Rain fell. {further}")]
        text = "Filming began at the old mill in York and went on to filming in Leeds."
        citations = Attributor(passages).citations(sentence(text))
        assert ("Leeds" in "".join(citation.quote for citation in citations)) == drawn


def test_a_number_or_month_alone_draws_no_further_span() -> None:
    passages = [passage("The mill was built in May 1880. Its owner sold it in June 1891.")]
    for text in ("The mill was built in June 1880.", "The mill was built in May 1891."):
        assert Attributor(passages).citations(sentence(text))[0].verdict == "unsupported"


def test_words_of_the_question_and_the_headings_draw_no_further_span() -> None:
    text = "An API key must have at least 16 characters."
    alone = "A key needs at least 16 characters."
    titled = [passage(SERVER, title="API keys")]
    assert cite(text).quote != alone
    assert cite(text, "How long is an API key?").quote == alone
    assert [citation.quote for citation in Attributor(titled).citations(sentence(text))] == [alone]


def test_a_quotation_ends_with_its_marks() -> None:
    text = "Nobody listened. She said: `` Leave the key here . ''"
    (citation,) = Attributor([passage(text)]).citations(sentence("She said to leave the key here."))
    assert citation.quote == "She said: `` Leave the key here . ''"


def test_last_and_first_sentence_of_two_passages_stay_two_spans() -> None:
    passages = [passage("Apples are grown in orchards.", 1), passage("Herring is caught at sea.", 2)]
    text = "Apples are grown in orchards and herring is caught at sea."
    assert len(Attributor(passages).citations(sentence(text))) == 2


def test_title_and_headings_speak_for_the_passage() -> None:
    text = "It stands on the coast and was built in 1889."
    bare = Attributor([passage(text)])
    titled = Attributor([passage(text, title="Lighthouse of Norby", headings=("History",))])
    claim = sentence("The lighthouse of Norby was built in 1889.")
    assert [a.citations(claim)[0].verdict for a in (bare, titled)] == ["unsupported", "supported"]


def test_a_name_from_another_passage_does_not_count() -> None:
    passages = [passage("Anna wrote the importer in spring.", 1), passage("Peter likes tea.", 2)]
    citation = Attributor(passages).attribute(sentence("In spring Peter wrote the importer."))
    assert citation is not None
    assert citation.verdict == "unsupported"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Set `FOOTNOTE_PORT` to change the port of the server.", "supported"),
        ("Set `footnote_port` to change the port of the server.", "supported"),
        ("Set `FOOTNOTE_LISTEN` to change the port of the server.", "unsupported"),
        ("The server listens on http://127.0.0.1:8000/v1/ag-ui by default.", "supported"),
        ("The server listens on `http://127.0.0.1:8000/v1/ag-ui` by default.", "supported"),
        ("The server listens on http://127.0.0.1:8000/ag-ui by default.", "unsupported"),
        ("The `` server '' listens on the `` port '' 8000 by default.", "supported"),
    ],
)
def test_commands_settings_and_urls_stand_in_the_passage_as_they_are(text: str, verdict: str) -> None:
    server = SERVER + " It listens on http://127.0.0.1:8000/v1/ag-ui."
    citation = Attributor([passage(server)]).attribute(sentence(text))
    assert citation is not None
    assert citation.verdict == verdict


def test_the_question_decides_between_equal_spans() -> None:
    passages = [passage("Cooking is taught in Paris. Dancing is taught in Paris.")]
    for topic in ("cooking", "dancing"):
        citation = Attributor(passages, f"Where is {topic} taught?").attribute(sentence("Paris."))
        assert citation is not None
        assert topic in citation.quote.lower()


def test_without_passages_nothing_is_supported() -> None:
    for passages in ([], [passage(" ")]):
        citation = Attributor(passages).attribute(sentence("The server listens on port 8000."))
        assert citation is not None
        assert (citation.verdict, citation.score) == ("unsupported", 0.0)


@given(st.lists(st.text(max_size=80), max_size=3), st.text(min_size=1, max_size=80), st.text(max_size=20))
def test_quotes_are_the_documents_own_text(texts: list[str], said: str, question: str) -> None:
    passages = [passage(text, i, start=10 * i) for i, text in enumerate(texts)]
    for citation in Attributor(passages, question).citations(Sentence(0, len(said), said)):
        assert 0 <= citation.score <= 1
        if citation.verdict != "unsupported":
            source = passages[int(citation.document_id[1:])]
            assert source.text[citation.char_start - source.char_start :].startswith(citation.quote)
            assert len(citation.quote) == citation.char_end - citation.char_start > 0


@given(st.sampled_from([*split(SERVER), *split(LIMITS), *split(CHINESE)]))
def test_every_sentence_of_a_passage_supports_itself(own: Sentence) -> None:
    assert cite(own.text).quote == own.text


def test_a_sentence_is_attributed_in_well_under_ten_milliseconds() -> None:
    passages = [passage(f"{SERVER} {LIMITS} {SERVER} {LIMITS}", i) for i in range(6)]
    attributor = Attributor(passages, "Which port?")
    claim = sentence("The server listens on port 8000, and backups are deleted after 30 days.")
    times = []
    for _ in range(20):
        started = perf_counter()
        attributor.citations(claim)
        times.append(perf_counter() - started)
    assert min(times) < 0.01
