"""Answers side by side: a judge that goes by place decides nothing, one that reads finds the better ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import evals.judge_model
from app.providers.prompt_files import PromptFiles
from app.settings import Settings
from evals.judge_model import JudgeModel
from evals.preference import Comparer, Pair, Preference
from tests.evals.conftest import Footnote
from tests.evals.test_judge import FakeModel

PAIR = Pair("How far is the lamp seen?", "It is seen for twenty miles.", "About ten miles.", "Twenty\nmiles away.")
GOLD = "twenty miles"


def shown(prompt: str) -> tuple[str, str]:
    """The two answers in the order in which the prompt shows them."""
    first, second = (
        prompt.partition(f'{name} answer:\n"""\n')[2].partition('\n"""')[0] for name in ("First", "Second")
    )
    return first, second


def by_place(_prompt: str) -> str:
    return "VERDICT: first_better\nQUOTE: nothing of the kind"


def by_reading(prompt: str) -> str:
    """Prefers the answer with the gold words, quoting it."""
    right = [GOLD in " ".join(answer.lower().split()) for answer in shown(prompt)]
    if right[0] == right[1]:
        return "VERDICT: equally_good\nQUOTE: "
    return f"**Verdict:** {'first' if right[0] else 'second'}_better\nQUOTE: “{GOLD}”"


def comparer(tmp_path: Path, reply: Callable[[str], str], repeats: int = 1) -> tuple[Comparer, FakeModel]:
    model = FakeModel(reply)
    prompt = PromptFiles(Settings().prompts_dir).active("judge-compare")
    return Comparer(JudgeModel(model, prompt, tmp_path, repeats=repeats)), model


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (by_reading, Preference("win", ("second_better", "first_better"), 1.0, (GOLD,))),
        (by_place, Preference("swayed", ("first_better", "first_better"), 1.0)),
        (lambda _: "VERDICT: equally_good", Preference("tie", ("equally_good", "equally_good"), 1.0)),
        (lambda _: "I cannot tell.", Preference("undecided", (None, None), 0.0)),
        (
            lambda prompt: "VERDICT: " + ("equally_good" if shown(prompt)[0] == PAIR.head else "second_better"),
            Preference("swayed", ("second_better", "equally_good"), 1.0),
        ),
    ],
    ids=["reading", "place", "equal", "undecided", "half"],
)
async def test_a_preference_counts_in_both_orders(
    tmp_path: Path, reply: Callable[[str], str], expected: Preference
) -> None:
    asked, model = comparer(tmp_path, reply, repeats=2)
    assert await asked.compare(PAIR) == expected
    assert await asked.compare(PAIR) == expected
    assert model.asked == 4, "two orders, two repeats, and what was asked before is not asked again"


async def test_the_better_baseline_wins_too_and_the_same_words_ask_nobody(tmp_path: Path) -> None:
    asked, model = comparer(tmp_path, by_reading)
    turned = Pair(PAIR.question, PAIR.reference, PAIR.head, PAIR.base)
    assert (await asked.compare(turned)).outcome == "loss"
    assert model.asked == 2
    same = Pair(PAIR.question, PAIR.reference, PAIR.head, "Twenty miles  away.")
    assert (await asked.compare(same)).outcome == "tie"
    assert model.asked == 2


async def test_repeats_that_disagree_lower_the_agreement(tmp_path: Path) -> None:
    """A judge that takes the first verdict in its list says each one as often."""
    asked, _ = comparer(tmp_path, lambda prompt: "VERDICT: " + prompt.partition("\n- ")[2].partition(":")[0], 6)
    found = await asked.compare(PAIR)
    assert (found.outcome, found.agreement) == ("undecided", pytest.approx(1 / 3))


def report(answers: dict[str, str], **fields: Any) -> dict[str, Any]:
    kept = {
        name: {
            "question": f"How far is lamp {name} seen?",
            "gold": [] if name == "open" else ["It is seen for twenty miles."],
            "answer": answer,
            "refused": answer.startswith("I searched"),
            "failure": "gone" if answer == "" else None,
        }
        for name, answer in answers.items()
    }
    whole = {"suite": "qa:lamps", "fingerprint": "f", "corpus": {"fingerprint": "c"}, "metrics": {}, "per_query": kept}
    return whole | fields


BASE = {"up": "Ten miles.", "up2": "Nine miles.", "down": "Twenty miles.", "same": "Five.", "other": "Six."}
HEAD = {"up": "Twenty miles.", "up2": "For twenty miles.", "down": "Ten.", "same": "Five.", "other": "Seven."}
UNFIT = {"refused": "I searched", "failed": "", "open": "Twenty miles."}


def compared(footnote: Footnote, folder: Path, *options: object) -> tuple[int, str, str]:
    (folder / "base.json").write_text(json.dumps(report(BASE | UNFIT, leg="small")))
    (folder / "head.json").write_text(json.dumps(report(HEAD | dict.fromkeys(UNFIT, "Twenty miles."), leg="large")))
    return footnote("eval", "compare", folder / "base.json", folder / "head.json", "--judge", "openai:x", *options)


def test_reports_are_compared(footnote: Footnote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evals.judge_model, "make_chat_model", lambda _settings: FakeModel(by_reading))
    code, out, err = compared(footnote, tmp_path, "--json", tmp_path / "out.json")
    assert code == 0, err
    found = json.loads(tmp_path.joinpath("out.json").read_text())
    assert (found["base"], found["head"], found["queries"]) == ("small", "large", 5)
    assert (found["wins"], found["losses"], found["ties"], found["swayed"]) == (2, 1, 2, 0)
    assert found["left_out"] == {"refused": 1, "failed": 1, "no reference": 1}
    assert found["win_rate"] == pytest.approx(2 / 3)
    assert found["interval"] == pytest.approx([0.2077, 0.9385], abs=1e-4)
    assert found["p"] == 1.0
    assert found["judge"]["prompt"].startswith("judge-compare/v1@")
    assert found["per_query"]["up"]["quotes"] == [GOLD]
    assert found["per_query"]["down"]["said"] == {"base first": "first_better", "head first": "second_better"}
    assert "large against small, 5 questions" in out
    assert f"up: win  “{GOLD}”" in out
    assert "same" not in out.partition("left out")[2]


def test_a_judge_that_goes_by_place_decides_nothing(
    footnote: Footnote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evals.judge_model, "make_chat_model", lambda _settings: FakeModel(by_place))
    code, out, err = compared(footnote, tmp_path, "--json", tmp_path / "out.json")
    assert code == 0, err
    found = json.loads(tmp_path.joinpath("out.json").read_text())
    assert (found["wins"], found["losses"], found["ties"], found["swayed"]) == (0, 0, 5, 4)
    assert (found["win_rate"], found["interval"], found["p"]) == (None, None, 1.0)
    assert (found["position_bias"], found["swayed_to"]) == (0.8, {"first": 4, "second": 0})
    assert "80.0% of all" in out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fingerprint": "g"}, "what is right for them, changed"),
        ({"corpus": {"fingerprint": "d"}}, "different documents"),
        ({"suite": "qa:others"}, "different suites"),
        ({"per_query": {name: {"ndcg@10": 1.0} for name in BASE}}, "have no answers"),
        ({"per_query": report(dict.fromkeys(BASE, ""))["per_query"]}, "No question of qa:lamps was answered in both"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    footnote: Footnote,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.setattr(evals.judge_model, "make_chat_model", lambda _settings: FakeModel(by_reading))
    (tmp_path / "base.json").write_text(json.dumps(report(BASE)))
    (tmp_path / "head.json").write_text(json.dumps(report(HEAD) | change))
    code, _, err = footnote("eval", "compare", tmp_path / "base.json", tmp_path / "head.json", "--judge", "openai:x")
    assert (code, message in err) == (2, True), err
