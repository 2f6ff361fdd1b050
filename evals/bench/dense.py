"""Dense: the vector search alone, against bare SQL and other stores."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from evals.bench.contestants import Contestant
from evals.bench.probes import Probe
from evals.bench.racing import Track
from evals.bench.stored import Stored
from evals.bench.tables import DASH, number, print_rows, ratio

K = 10
_HEAD = ("contestant", "p50 ms", "p95 ms", "p50 ÷ ours", "recall@10", "searches/s", "CPU ms here", "CPU ms PostgreSQL")


async def run_dense(
    track: Track,
    contestants: Sequence[Contestant],
    absent: Mapping[str, str],
    probes: Sequence[Probe],
    stored: Stored,
) -> dict[str, Any]:
    """Race, print and report; the first contestant is the one that ratios are taken to."""
    records = await track.race("dense", contestants, probes, K)
    similarities = [stored.vectors.similarities(probe.vector) for probe in probes]
    everything = stored.passing(probes[0].narrowing)
    first = records[contestants[0].name]
    report, rows = dict[str, Any](), list[list[str]]()
    for name, record in records.items():
        recalls = [
            stored.recall(similarity, everything, found) or 0.0
            for similarity, found in zip(similarities, record.found, strict=False)
        ]
        figures = record.figures() | {"recall@10": fmean(recalls)}
        report[name] = figures | {"ratio_to_ours": record.ratio_to(first)}
        rows.append(
            [
                name,
                number(figures["p50_ms"]),
                number(figures["p95_ms"]),
                ratio(record, first),
                number(figures["recall@10"], 3),
                number(figures["per_second"], 0),
                number(figures["client_cpu_ms"]),
                number(figures["server_cpu_ms"]),
            ]
        )
    for name, reason in absent.items():
        report[name] = {"absent": reason}
        rows.append([f"{name}: {reason}", *[DASH] * (len(_HEAD) - 1)])
    print_rows(f"dense, top {K} of {len(stored.places)} chunks, {track.clients} clients for searches/s", _HEAD, rows)
    return report
