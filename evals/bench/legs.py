"""Legs: the lexical leg against exact BM25, and what fusing costs beside the two legs alone."""

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

from evals.bench.bm25 import ExactBm25, Frequencies, overlap
from evals.bench.contestants import Footnote
from evals.bench.probes import Probe
from evals.bench.racing import Record, Track
from evals.bench.stored import Stored
from evals.bench.tables import number, print_rows

K = 100


async def run_legs(
    track: Track,
    legs: Mapping[str, Footnote],
    probes: Sequence[Probe],
    stored: Stored,
    bm25: ExactBm25,
    questions: Sequence[Frequencies],
) -> dict[str, Any]:
    """Race the three legs at the top 100, print and report; `questions` are the probes' lexemes."""
    records = await track.race("legs", list(legs.values()), probes, K)
    lexical = records[legs["lexical"].name]
    overlaps = [
        overlap(bm25.scores(question), [stored.places[chunk] for chunk in found])
        for question, found in zip(questions, lexical.found, strict=False)
    ]
    costs = _costs(records, legs)
    report: dict[str, Any] = {leg: records[one.name].figures() for leg, one in legs.items()}
    report["lexical"]["overlap@10"] = fmean(overlaps)
    report["hybrid"]["p50_to_sum_of_legs"] = (median(costs), min(costs), max(costs))
    rows = [
        [
            leg,
            number(report[leg]["p50_ms"]),
            number(report[leg]["p95_ms"]),
            number(report[leg].get("overlap@10"), 3),
            f"{median(costs):.2f} ({min(costs):.2f} to {max(costs):.2f})" if leg == "hybrid" else number(None),
            number(report[leg]["client_cpu_ms"]),
            number(report[leg]["server_cpu_ms"]),
        ]
        for leg in legs
    ]
    head = ("leg", "p50 ms", "p95 ms", "overlap@10 with exact BM25", "p50 ÷ both legs' p50")
    print_rows(f"legs, top {K}", (*head, "CPU ms here", "CPU ms PostgreSQL"), rows)
    return report


def _costs(records: Mapping[str, Record], legs: Mapping[str, Footnote]) -> list[float]:
    """The hybrid search's median over the sum of the legs', round by round."""
    hybrid, dense, lexical = (records[legs[leg].name].laps for leg in ("hybrid", "dense", "lexical"))
    return [both.p50 / (one.p50 + other.p50) for both, one, other in zip(hybrid, dense, lexical, strict=True)]
