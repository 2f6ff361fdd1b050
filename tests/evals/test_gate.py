"""The gate: right verdicts on changes whose effect is known, refusals, reports, exit codes."""

import json
from codecs import BOM_UTF8
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from scipy import stats

from app.domain.errors import InvalidInput
from evals.bench.gate import MEASURES, simulated
from evals.gate import compare, decide
from evals.paired import (
    bootstrap_interval,
    holm,
    permutation_p,
    power,
    questions_needed,
    sign_test_p,
    wilson_interval,
)
from evals.policy import DEFAULT, Measure, Policy, load_policy
from tests.evals.conftest import Footnote


def test_a_policy_that_windows_wrote_is_read(tmp_path: Path) -> None:
    policy = tmp_path / "gate.toml"
    policy.write_bytes(BOM_UTF8 + DEFAULT.read_bytes().replace(b"\n", b"\r\n"))
    assert load_policy(policy) == load_policy()


@pytest.mark.parametrize("size", [30, 200])
def test_intervals_and_p_values_agree_with_scipy(size: int) -> None:
    differences = np.random.default_rng(5).normal(0.02, 0.3, size)
    theirs = stats.bootstrap(
        (differences,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert bootstrap_interval(differences) == pytest.approx((theirs.low, theirs.high), abs=1e-2)
    tested = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(1)
    )
    assert permutation_p(differences) == pytest.approx(tested.pvalue, abs=0.02)


@pytest.mark.parametrize(("wins", "losses"), [(0, 1), (5, 0), (7, 3), (3, 7), (10, 10), (60, 41), (700, 500)])
def test_wins_and_losses_are_counted_as_scipy_counts_them(wins: int, losses: int) -> None:
    theirs = stats.binomtest(wins, wins + losses)
    assert sign_test_p(wins, losses) == pytest.approx(theirs.pvalue)
    interval = theirs.proportion_ci(method="wilson")
    assert wilson_interval(wins, wins + losses) == pytest.approx((interval.low, interval.high))
    assert sign_test_p(0, 0) == 1.0


def test_few_questions_are_tested_exactly() -> None:
    assert permutation_p(np.array([1.0, 1.0, 1.0])) == 2 / 8
    assert permutation_p(np.zeros(5)) == 1.0
    assert permutation_p(np.zeros(50)) == 1.0


def test_holm_and_power_are_the_textbooks() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    scattered = np.random.default_rng(2).normal(0, 1, 4000)
    needed = questions_needed(scattered, 0.5, alpha=0.05, wanted=0.8)
    assert needed == pytest.approx(31.4, abs=2), "a one-sample z test of half a standard deviation"
    assert power(scattered[:needed], 0.5, alpha=0.05) == pytest.approx(0.8, abs=0.1)
    assert power(np.zeros(50), 0.05, alpha=0.05) < 0.5, "one answer in twenty may be lost unseen"
    assert power(np.zeros(300), 0.05, alpha=0.05) > 0.9
    assert power(np.zeros(5), 0.5, alpha=0.05) == 0.0, "five signs cannot reach .05"


@pytest.mark.parametrize("kind", ["graded", "right or wrong", "steady"])
def test_false_alarms_are_rare_and_real_regressions_are_caught(kind: str) -> None:
    policy = Policy({name: Measure(0.05) for name in MEASURES})
    chance = np.random.default_rng(3)
    questions = [str(number) for number in range(200)]

    def verdicts(effect: float, runs: int) -> list[set[str]]:
        return [
            {c.verdict for c in compare(questions, simulated(kind, effect, 200, chance), policy, resamples=500)}
            for _ in range(runs)
        ]

    alarms = sum(bool(found & {"better", "worse"}) for found in verdicts(0.0, 200))
    assert alarms <= 20, "5 % of 200 are 10; more than 20 would happen once in a thousand"
    caught = sum("worse" in found for found in verdicts(-0.15, 20))
    assert caught == 20


def report(scores: dict[str, float], **changes: Any) -> dict[str, Any]:
    return {
        "suite": "beir:island",
        "leg": "hybrid",
        "corpus": {"fingerprint": "f"},
        "metrics": {"ndcg@10": 0.5},
        "settings": {"rrf_k": 60},
        "per_query": {query: {"ndcg@10": score, "ms": 1.0} for query, score in scores.items()},
    } | changes


GOOD = {f"q{number}": 0.9 - number % 7 / 100 for number in range(60)}
BAD = {query: score - 0.2 - int(query[1:]) % 5 / 50 for query, score in GOOD.items()}


def test_verdicts() -> None:
    policy = Policy({"ndcg@10": Measure(0.03)})
    (worse,) = decide(report(GOOD), report(BAD, settings={"rrf_k": 10}), policy).comparisons
    assert (worse.verdict, worse.stops) == ("worse", True)
    assert worse.interval[0] < worse.difference < worse.interval[1] < 0
    assert len(worse.movers) == 5
    (better,) = decide(report(BAD), report(GOOD), policy).comparisons
    assert (better.verdict, better.stops) == ("better", False)
    same = decide(report(GOOD), report(GOOD), policy)
    assert (same.comparisons[0].verdict, same.passed) == ("same", True)
    noisy = {q: s + (0.4 if i % 2 else -0.4) for i, (q, s) in enumerate(GOOD.items())}
    (unknown,) = decide(report(GOOD), report(noisy), policy).comparisons
    assert (unknown.verdict, unknown.stops) == ("underpowered", False)
    assert unknown.needed > 1000
    strict = Policy({"ndcg@10": Measure(0.03, stop_underpowered=True)})
    assert not decide(report(GOOD), report(noisy), strict).passed
    (negligible,) = decide(report(GOOD), report({q: s - 0.001 for q, s in GOOD.items()}), policy).comparisons
    assert (negligible.verdict, negligible.p < 0.01) == ("same", True)
    gaps = report(GOOD)
    gaps["per_query"]["q3"]["ndcg@10"] = None
    (paired,) = decide(gaps, report(GOOD), policy).comparisons
    assert (paired.questions, paired.difference) == (59, 0)
    slower = report(GOOD)
    for scores in slower["per_query"].values():
        scores["ms"] = 9.0
    (lower,) = decide(report(GOOD), slower, Policy({"ms": Measure(1, higher_is_better=False)})).comparisons
    assert lower.verdict == "worse"


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (report(GOOD, suite="beir:other"), "different suites"),
        (report(GOOD, corpus={"fingerprint": "g"}), "different documents or questions"),
        (report(GOOD, fingerprint="g"), "what is right for them, changed"),
        (report({"q1": 1.0}), "59 are only in the baseline"),
    ],
)
def test_what_cannot_be_compared_is_refused(head: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        decide(report(GOOD), head, load_policy())


def test_the_command(tmp_path: Path, footnote: Footnote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    files = {name: tmp_path / f"{name}.json" for name in ("good", "bad", "broken", "empty")}
    files["good"].write_text(json.dumps(report(GOOD)))
    files["bad"].write_text(json.dumps(report(BAD, settings={"rrf_k": 10})))
    files["broken"].write_text("{")
    files["empty"].write_text("{}")
    compared = report(GOOD)
    del compared["metrics"]
    for name, odd in {"flat": report(GOOD) | {"per_query": {"q1": 1}}, "compared": compared}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(odd))
    out = {name: tmp_path / name for name in ("decision.json", "summary.md", "junit.xml")}
    written = ["--json", out["decision.json"], "--markdown", out["summary.md"], "--junit", out["junit.xml"]]
    code, said, _ = footnote("eval", "gate", "--baseline", files["good"], "--head", files["bad"], *written)
    assert code == 1
    assert "The gate is shut: ndcg@10" in said
    assert "…" not in said
    assert "not gating" in said
    decision = json.loads(out["decision.json"].read_text())
    assert (decision["passed"], decision["changed"]) == (False, {"rrf_k": [60, 10]})
    assert "| ndcg@10 |" in out["summary.md"].read_text()
    suite = ET.parse(out["junit.xml"]).getroot()
    assert suite.attrib["failures"] == "1"
    assert suite.find("testcase/failure") is not None
    assert footnote("eval", "gate", "--baseline", files["good"], "--head", files["good"])[0] == 0
    for name, says in {
        "broken": "not a report",
        "empty": "no questions",
        "missing": "cannot be read",
        "flat": "not a report of `footnote eval run --json` (Expected `object`, got `int`",
        "compared": "Object missing required field `metrics`",
    }.items():
        code, _, told = footnote("eval", "gate", "--baseline", files["good"], "--head", tmp_path / f"{name}.json")
        assert code == 2
        assert says in told
    (tmp_path / "policy.toml").write_text("[measures.elegance]\nmatters = 1\n")
    arguments = ["--baseline", files["good"], "--head", files["good"], "--policy", tmp_path / "policy.toml"]
    code, _, told = footnote("eval", "gate", *arguments)
    assert code == 2
    assert "none of the policy's measures (elegance)" in told
    (tmp_path / "policy.toml").write_text("[measures.elegance]\nmatters = 0\n")
    assert footnote("eval", "gate", *arguments)[0] == 2
