"""The suite `qa:` through the command line, on real services, with the model that answers from its prompt alone."""

import json
from pathlib import Path
from typing import Any

import pytest

import evals.judge_model
from tests.evals.asking import QUESTIONS, ask, suite
from tests.evals.conftest import Footnote
from tests.evals.test_judge import FakeModel


def test_a_judge_reads_the_answers(footnote: Footnote, island: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "VERDICT: correct\nQUOTE: seen for twenty miles"
    model = FakeModel(lambda prompt: said if "How far is the lamp" in prompt else "VERDICT: irrelevant")
    monkeypatch.setattr(evals.judge_model, "make_chat_model", lambda _settings: model)
    report = ask(footnote, island, QUESTIONS, "--judge", "openai:x", "--repeats", 2)
    verdicts = {name: each["judged_correct"] for name, each in report["per_query"].items()}
    assert verdicts == {"lamp": 1.0, "tide": None, "no": None, "then": 0.0, "fails": None}
    assert report["metrics"]["judged_correct"] == 0.5
    assert report["per_query"]["lamp"]["judge_quote"] == "seen for twenty miles"
    assert (report["judge"]["model"], report["judge"]["kappa"]) == ("fake", None)

    calibration = island.parent / "calibration.json"
    about = {name: report["judge"][name] for name in ("model", "prompt", "repeats")}
    found = {"suite": "judge:labels", "judge": about, "metrics": {"kappa": 0.8}, "queries": 300, "per_query": {"1": {}}}
    calibration.write_text(json.dumps(found))
    options = ("--judge", "openai:x", "--repeats", 2, "--calibration", calibration)
    assert ask(footnote, island, QUESTIONS, *options)["judge"] == about | {"kappa": 0.8, "labels": 300}
    calibration.write_text(json.dumps(found | {"judge": about | {"model": "other"}}))
    asked = model.asked
    changed = suite(island, [{**QUESTIONS[0], "question": "How far is the lamp seen at night?"}])
    code, _, err = footnote("eval", "run", "--suite", changed, "--collection", "island", *options)
    assert (code, "is of another judge" in err) == (2, True)
    assert "asking" not in err  # told before anybody was asked
    assert model.asked == asked


def test_the_control_asks_the_model_alone(footnote: Footnote, island: Path) -> None:
    report = ask(footnote, island, QUESTIONS[:2], "--closed-book")
    assert (report["leg"], report["failed"]) == ("scripted, closed book", 0)
    assert report["settings"]["closed_book"].startswith("closed-book/v1@")
    lamp = report["per_query"]["lamp"]
    assert lamp["answer"] == "How far is the lamp seen?"  # with nothing to quote, it says the question again
    assert (lamp["passages"], lamp["sentences"], lamp["passage_recall"], lamp["refused"]) == ([], [], 0, False)
    assert report["corpus"] == ask(footnote, island, QUESTIONS[:2])["corpus"]
    options = ("--closed-book", "--url", "http://127.0.0.1:1")
    code, _, err = footnote("eval", "run", "--suite", suite(island, QUESTIONS), "--collection", "island", *options)
    assert (code, "without --closed-book" in err) == (2, True)


def test_answers_are_measured(footnote: Footnote, island: Path) -> None:
    report = ask(footnote, island, QUESTIONS, "--concurrency", 2)
    assert (report["suite"], report["leg"], report["queries"], report["failed"]) == ("qa:asked", "scripted", 5, 1)
    assert report["corpus"]["documents"] == 5
    assert report["settings"]["chat_model"] == "scripted"
    lamp = report["per_query"]["lamp"]
    assert lamp["answer"].startswith("The lamp turns once")
    assert 0 < lamp["token_f1"] <= 1
    assert (lamp["passage_recall"], lamp["citation_recall"], lamp["support_rate"]) == (1, 1, 1)
    assert 0 < lamp["citation_precision"] <= 1
    assert lamp["answer_rate"] == 1
    assert lamp["refusal_recall"] is None
    assert 0 < lamp["first_text_ms"] <= lamp["ms"]
    assert lamp["prompt_tokens"] > lamp["completion_tokens"] > 0
    assert lamp["sentences"][0]["verdict"] == "supported"
    assert lamp["sentences"][0]["text"] in lamp["answer"]
    assert report["per_query"]["tide"]["token_f1"] is None
    assert report["per_query"]["tide"]["citation_recall"] == 1
    assert report["per_query"]["no"]["refusal_recall"] in {0, 1}
    failed = report["per_query"]["fails"]
    assert "as the question told it to" in failed["failure"]
    defined = [each["token_f1"] for each in report["per_query"].values() if each["token_f1"] is not None]
    assert len(defined) == 3
    assert report["metrics"]["token_f1"] == pytest.approx(sum(defined) / 3)


def test_a_question_without_evidence_is_refused(
    footnote: Footnote, island: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOOTNOTE_MIN_EVIDENCE", "1")
    report = ask(footnote, island, [{**QUESTIONS[0], "_id": "other"}, QUESTIONS[2]])
    no, other = report["per_query"]["no"], report["per_query"]["other"]
    assert (no["refused"], no["refusal_recall"], no["refusal_precision"]) == (True, 1, 1)
    assert (other["refused"], other["refusal_precision"], other["answer_rate"], other["token_f1"]) == (True, 0, 0, 0)


def test_the_gate_reads_it_and_tells_changed_questions_and_documents(
    footnote: Footnote, island: Path, tmp_path: Path
) -> None:
    before, after = tmp_path / "before.json", tmp_path / "report.json"
    ask(footnote, island, QUESTIONS)
    after.rename(before)
    ask(footnote, island, QUESTIONS)
    both = ("--baseline", before, "--head", after)
    code, _, err = footnote("eval", "gate", *both, "--json", tmp_path / "gate.json")
    assert code == 0, err
    gate = {each["measure"]: each for each in json.loads((tmp_path / "gate.json").read_text())["comparisons"]}
    assert (gate["token_f1"]["questions"], gate["token_f1"]["difference"]) == (3, 0)
    ask(footnote, island, [*QUESTIONS[:4], {"_id": "fails", "question": "When does the ferry leave?"}])
    code, _, err = footnote("eval", "gate", *both)
    assert code == 2
    assert "what is right for them, changed" in err
    (island / "tide.txt").write_text("High water comes once a day.")
    footnote("ingest", island, "--collection", "island")
    ask(footnote, island, QUESTIONS)
    code, _, err = footnote("eval", "gate", *both)
    assert code == 2
    assert "different documents" in err


def test_costs_are_told_where_there_are_prices(
    footnote: Footnote, island: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "cost" not in ask(footnote, island, QUESTIONS[:2])["metrics"]
    monkeypatch.setenv("FOOTNOTE_CHAT_INPUT_PRICE", "0.5")
    asked = ("eval", "run", "--suite", suite(island, QUESTIONS[:2]), "--collection", "island")
    code, _, err = footnote(*asked)
    assert (code, "Set both" in err) == (2, True)
    monkeypatch.setenv("FOOTNOTE_CHAT_OUTPUT_PRICE", "2")
    report = ask(footnote, island, QUESTIONS[:2])
    costs = [each["cost"] for each in report["per_query"].values()]
    lamp = report["per_query"]["lamp"]
    assert lamp["cost"] == pytest.approx((lamp["prompt_tokens"] * 0.5 + lamp["completion_tokens"] * 2) / 1e6)
    assert report["metrics"]["cost"] == pytest.approx(sum(costs) / 2)
    assert (report["settings"]["chat_input_price"], report["settings"]["chat_output_price"]) == (0.5, 2)
    assert f"{report['metrics']['cost']:.6f}" in footnote(*asked)[1]

    path, html, policy = tmp_path / "report.json", tmp_path / "page.html", tmp_path / "policy.toml"
    code, out, err = footnote("eval", "gate", "--baseline", path, "--head", path)
    assert (code, "cost" in out) == (0, True), err
    assert footnote("eval", "report", path, "--html", html)[0] == 0
    assert "<h3>cost</h3>" in html.read_text()
    policy.write_text("[measures.cost]\nmatters = 1e-6\nhigher_is_better = false\nstop_underpowered = true\n")
    code, out, _ = footnote("eval", "gate", "--baseline", path, "--head", path, "--policy", policy)
    assert (code, "The gate is shut: cost" in out) == (1, True)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"_id": "a"}, "asked.jsonl:1: Object missing required field `question`"),
        ({"_id": "a", "question": " "}, "asked.jsonl:1: the question is empty"),
        ({"_id": "a", "question": "b", "gold": "c"}, "unknown field `gold`"),
        ({"_id": "a", "question": "b", "answerable": False, "answers": ["c"]}, "not answerable has no answers"),
        ({"_id": "a", "question": "b", "documents": ["no.txt"]}, "a: 0 documents of the collection island"),
        ({"_id": "a", "question": "b", "spans": [{"document": "tide.txt", "quote": "nowhere"}]}, "does not contain"),
        ({"_id": "a", "question": "How far is the lamp seen? [[fail-first]]"}, "The scripted model failed"),
    ],
)
def test_what_cannot_be_asked_is_said(footnote: Footnote, island: Path, question: dict[str, Any], message: str) -> None:
    code, _, err = footnote("eval", "run", "--suite", suite(island, [question]), "--collection", "island")
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_a_collection_that_is_not_there(footnote: Footnote, island: Path) -> None:
    code, _, err = footnote("eval", "run", "--suite", suite(island, QUESTIONS), "--collection", "mainland")
    assert code == 2
    assert "There is no collection named 'mainland'" in err


def test_answers_are_exported_for_ragas(footnote: Footnote, island: Path, tmp_path: Path) -> None:
    """In the fields of its `SingleTurnSample`; what failed is left out."""
    report, out = ask(footnote, island, QUESTIONS), tmp_path / "samples.jsonl"
    code, _, err = footnote("eval", "export", tmp_path / "report.json", "--ragas", out)
    assert code == 0, err
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    answered = [each for each in report["per_query"].values() if not each["refused"] and not each["failure"]]
    assert len(rows) == len(answered) < len(QUESTIONS)
    assert f"{len(rows)} answers in" in err
    assert rows[0] == {
        "user_input": "How far is the lamp seen?",
        "response": report["per_query"]["lamp"]["answer"],
        "retrieved_contexts": [each["text"] for each in report["per_query"]["lamp"]["passages"]],
        "reference": "The lamp turns once in ten seconds and is seen for twenty miles.",
    }
    assert "reference" not in rows[1]
    then = "user: Are there goats?\nassistant: Yes.\nuser: How many goats graze on the cliff?"
    assert then in [row["user_input"] for row in rows]

    ask(footnote, island, [QUESTIONS[0]])
    kept = json.loads((tmp_path / "report.json").read_text())
    for change, message in (
        ({"lamp": kept["per_query"]["lamp"] | {"refused": True}}, "there is nothing to export"),
        ({"lamp": {"ndcg@10": 1.0}}, "has no answers"),
    ):
        (tmp_path / "other.json").write_text(json.dumps(kept | {"per_query": change}))
        code, _, err = footnote("eval", "export", tmp_path / "other.json", "--ragas", out)
        assert (code, message in err) == (2, True), err
