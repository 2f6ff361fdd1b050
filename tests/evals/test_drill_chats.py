"""The drill of many chats counts what its clients saw, and sees what is wrong."""

import pytest

from evals.drills.chats import Answer, ask_all, print_table
from tests.fixtures.server import Server


@pytest.mark.usefixtures("corpus")
async def test_all_is_well_on_a_real_server(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    answers, lag_s = await ask_all(server.url, 5, 20)
    assert [(a.deltas, a.end, a.lost, a.repeated, a.stored_equals) for a in answers] == [
        (20, "run.completed", 0, 0, True)
    ] * 5
    assert lag_s >= 0
    print_table(answers, 0.0427, 1.5)
    out = capsys.readouterr().out
    assert "43 ms" in out
    assert "stored message equal to the joined deltas" in out


def test_lost_and_repeated_events_are_counted() -> None:
    answer = Answer()
    for event_id, kind, data in [
        (1, "run.started", {"conversation_id": "c"}),
        (2, "text.delta", {"text": "One two"}),
        (2, "text.delta", {"text": " three"}),
        (4, "text.rewind", {"to": 3}),
    ]:
        answer.add(event_id, kind, data)
    assert (answer.lost, answer.repeated) == (2, 1), "id 3 and the end are missing, 2 came twice"
    assert (answer.text, answer.conversation_id) == ("One", "c")
    answer.add(5, "run.failed", {"problem": {"code": "interrupted"}})
    assert (answer.lost, answer.end, answer.problem) == (1, "run.failed", "interrupted")
