"""The judge: what it makes of replies, how far it agrees with people, and when its verdicts count."""

import json
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import evals.judge_model
from app.domain.conversation import ChatMessage
from app.domain.errors import InvalidInput
from app.domain.ports import ChatDelta, ChatModelProfile
from app.providers.prompt_files import PromptFiles
from app.settings import Settings
from evals.agreement import bias, kappa, kappa_interval
from evals.calibrate import load_labels
from evals.gate import decide
from evals.judge import Case, Judge, Judgement
from evals.judge_model import JudgeModel
from evals.policy import Measure, Policy
from tests.evals.conftest import Footnote

CASE = Case("How far is the lamp seen?", "The lamp is seen\nfor twenty miles.", "Twenty miles.")


class FakeModel:
    """Replies what a function makes of the prompt; counts how often it was asked."""

    profile = ChatModelProfile("fake", 8000)

    def __init__(self, reply: Callable[[str], str]) -> None:
        self.asked = 0
        self._reply = reply

    async def stream(self, messages: Sequence[ChatMessage], *, max_tokens: int) -> AsyncGenerator[ChatDelta, None]:
        assert max_tokens <= 200
        self.asked += 1
        for piece in self._reply(messages[-1].content).split(" "):
            yield ChatDelta(piece + " ")

    async def close(self) -> None:
        """Nothing is held."""


def first_listed(prompt: str) -> str:
    """A judge that always takes the first verdict it is offered."""
    return "VERDICT: " + prompt.partition("\n- ")[2].partition(":")[0]


async def judged(tmp_path: Path, reply: Callable[[str], str], repeats: int = 3) -> tuple[Judgement, FakeModel]:
    model = FakeModel(reply)
    prompt = PromptFiles(Settings().prompts_dir).active("judge")
    judge = Judge(JudgeModel(model, prompt, tmp_path, repeats=repeats))
    found = await judge.judge(CASE)
    assert await judge.judge(CASE) == found
    return found, model


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("VERDICT: correct\nQUOTE: seen for twenty miles", Judgement("correct", 1.0, "seen for twenty miles")),
        ("**Verdict:** Contradicted.\nQuote: “seen for ten miles”", Judgement("contradicted", 1.0, "")),
        ("I cannot tell.", Judgement(None, 0.0, "")),
    ],
)
async def test_replies_are_read_and_quotes_looked_up(tmp_path: Path, reply: str, expected: Judgement) -> None:
    found, model = await judged(tmp_path, lambda _prompt: reply)
    assert found == expected
    assert model.asked == 3, "what was asked before is not asked again"


async def test_a_judge_that_goes_by_place_does_not_agree_with_itself(tmp_path: Path) -> None:
    found, model = await judged(tmp_path, first_listed, repeats=6)
    assert (found.verdict, model.asked) == (None, 6)
    assert found.agreement == pytest.approx(1 / 3)


def test_kappa_is_the_textbooks() -> None:
    labels = ["yes"] * 25 + ["no"] * 25
    said = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert kappa(labels, said) == pytest.approx(0.4)  # observed .7, by chance .5
    low, high = kappa_interval(labels, said)
    assert 0.1 < low < 0.4 < high < 0.7
    assert kappa(labels, labels) == 1.0
    assert kappa(["a"], ["a"]) == 0.0
    assert bias(["a", "a", "b", "b"], ["a", "a", "a", None]) == {"a": 0.25, "b": -0.5}


def labels_file(tmp_path: Path, *labels: str) -> Path:
    path = tmp_path / "labels.jsonl"
    rows = [
        {"_id": f"{n}", "question": "q", "reference": "ref", "answer": f"{label} {n}", "label": label}
        for n, label in enumerate(labels)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("change", [{"label": "good"}, {"reference": 3}, {"extra": 1}])
def test_labels_are_checked(tmp_path: Path, change: dict[str, Any]) -> None:
    row = {"_id": "1", "question": "q", "reference": "r", "answer": "a", "label": "correct"} | change
    path = tmp_path / "labels.jsonl"
    path.write_text(json.dumps(row))
    with pytest.raises(InvalidInput, match=r"labels\.jsonl:1: "):
        load_labels(path)


def test_a_judge_is_calibrated(footnote: Footnote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes contradictions for right answers."""

    def reply(prompt: str) -> str:
        answer = prompt.partition('Answer:\n"""\n')[2]
        return f"VERDICT: {'irrelevant' if answer.startswith('irrelevant') else 'correct'}\nQUOTE: ref"

    monkeypatch.setattr(evals.judge_model, "make_chat_model", lambda _settings: FakeModel(reply))
    path, out = labels_file(tmp_path, *["correct", "contradicted", "irrelevant"] * 4), tmp_path / "calibration.json"
    code, shown, err = footnote("eval", "calibrate", "--labels", path, "--judge", "openai:x", "--json", out)
    assert code == 0, err
    found = json.loads(out.read_text())
    assert found["metrics"] == {
        "accuracy": pytest.approx(2 / 3),
        "kappa": pytest.approx(0.5),
        "agreement": 1.0,
        "quoted": 1.0,
        "undecided": 0.0,
    }
    assert found["bias"] == {"correct": pytest.approx(1 / 3), "contradicted": pytest.approx(-1 / 3), "irrelevant": 0.0}
    assert found["confusion"]["contradicted"]["correct"] == 4
    assert "kappa 0.500 (95 % interval" in shown


def report(values: dict[str, float], judge: dict[str, Any] | None, agreement: float = 1.0) -> dict[str, Any]:
    return {
        "suite": "qa:island",
        "fingerprint": "f",
        "corpus": {"fingerprint": "c"},
        "metrics": {},
        "judge": judge,
        "per_query": {
            name: {"judged_correct": value, "token_f1": value, "judge_agreement": agreement}
            for name, value in values.items()
        },
    }


JUDGE = {"model": "m", "prompt": "judge/v1@1", "repeats": 3, "kappa": 0.7, "labels": 300}


@pytest.mark.parametrize(
    ("base", "head", "why"),
    [
        (JUDGE, JUDGE, None),
        (JUDGE, JUDGE | {"kappa": 0.59}, "0.59, below 0.6"),
        (JUDGE, JUDGE | {"kappa": None}, "not compared with people"),
        (JUDGE, JUDGE | {"model": "other"}, "the judges differ"),
        (None, None, "not compared with people"),
    ],
    ids=["fit", "kappa", "uncalibrated", "another", "unknown"],
)
def test_only_a_calibrated_judge_counts(base: dict[str, Any], head: dict[str, Any], why: str | None) -> None:
    policy = Policy({"judged_correct": Measure(0.05), "token_f1": Measure(0.05)})
    scores = {str(n): float(n % 2) for n in range(40)}
    decision = decide(report(scores, base), report(dict.fromkeys(scores, 0.0), head, 0.67), policy)
    counted = {comparison.measure for comparison in decision.comparisons}
    assert ("judged_correct" in counted) == (why is None)
    if why is not None:
        assert why in decision.left_out["judged_correct"]
    assert len(decision.flaky) == 40


def test_a_judge_without_a_verdict_is_of_two_minds_too() -> None:
    policy = Policy({"token_f1": Measure(0.05)})
    scores = {"q1": 1.0, "q2": 0.0}
    assert decide(report(scores, JUDGE), report(scores, JUDGE, 0.0), policy).flaky == ("q1", "q2")
    assert decide(report(scores, JUDGE), report(scores, JUDGE), policy).flaky == ()
