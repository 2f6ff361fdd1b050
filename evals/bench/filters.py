"""Filters: searches that may return few chunks, by how many pass, with and without a collection."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from statistics import fmean
from typing import Any

import numpy as np

from evals.bench.bm25 import ExactBm25, Frequencies, overlap
from evals.bench.contestants import Contestant, Footnote
from evals.bench.loading import COLLECTIONS
from evals.bench.probes import Narrowing, Probe
from evals.bench.racing import Track
from evals.bench.stored import Stored
from evals.bench.synthetic import KINDS, SHARES
from evals.bench.tables import DASH, number, print_rows, ratio

K = 10
_WORDS_HEAD = ("scope", "chunks", "returned", "of", "overlap@10 with exact BM25", "p50 ms", "p95 ms")
_HEAD = ("contestant", "returned", "recall@10", "p50 ms", "p95 ms", "p50 ÷ ours")


def narrowings() -> Iterator[tuple[str, Narrowing]]:
    """Every scope by what a table calls it."""
    for kind, share, collection in product(KINDS, SHARES, (None, COLLECTIONS[1])):
        of = f" of {collection}" if collection else ""
        yield f"{SHARES[share]:.1%}{of}, {KINDS[kind]}", Narrowing(collection, f"{kind}_{share}")


async def run_filters(
    track: Track,
    contestants: Sequence[Contestant],
    absent: Mapping[str, str],
    probes: Sequence[Probe],
    stored: Stored,
) -> dict[str, Any]:
    """Race in every scope, print and report; the first contestant is the one that ratios are taken to.

    A slow contestant answers the first probes only (`Track`), and its recall is that of those.
    """
    similarities = [stored.vectors.similarities(probe.vector) for probe in probes]
    report = dict[str, Any]()
    for title, narrowing in narrowings():
        kept = stored.passing(narrowing)
        records = await track.race(title, contestants, [replace(one, narrowing=narrowing) for one in probes], K)
        first = records[contestants[0].name]
        cell, rows = dict[str, Any](), list[list[str]]()
        for name, record in records.items():
            recalls = [
                recall
                for similarity, found in zip(similarities, record.found, strict=False)
                if (recall := stored.recall(similarity, kept, found)) is not None
            ]
            returned = fmean(len(found) for found in record.found)
            recall_at_10 = fmean(recalls) if recalls else None
            cell[name] = record.figures() | {
                "returned": returned,
                "recall@10": recall_at_10,
                "ratio_to_ours": record.ratio_to(first),
            }
            rows.append(
                [
                    name,
                    number(returned, 1),
                    number(recall_at_10, 3),
                    number(record.p50),
                    number(record.p95),
                    ratio(record, first),
                ]
            )
        for name, reason in absent.items():
            cell[name] = {"absent": reason}
            rows.append([f"{name}: {reason}", *[DASH] * (len(_HEAD) - 1)])
        passing = int(kept.sum())
        print_rows(f"{title}: {passing} of {len(kept)} chunks pass", _HEAD, rows)
        report[title] = {"passing": passing, "narrowing": narrowing, "contestants": cell}
    return report


async def run_filtered_words(
    track: Track,
    lexical: Footnote,
    probes: Sequence[Probe],
    stored: Stored,
    bm25: ExactBm25,
    questions: Sequence[Frequencies],
) -> dict[str, Any]:
    """The lexical leg in every scope of the whole index beside exact BM25 of what passes; print and report."""
    report, rows = dict[str, Any](), list[list[str]]()
    for title, narrowing in narrowings():
        if narrowing.collection is not None:  # whose statistics are its own
            continue
        kept = stored.passing(narrowing)
        asked = [replace(one, narrowing=narrowing) for one in probes]
        record = (await track.race(f"{title}, words", [lexical], asked, K))[lexical.name]
        scores = [np.where(kept, bm25.scores(question), 0) for question in questions[: len(record.found)]]
        report[title] = record.figures() | {
            "passing": int(kept.sum()),
            "returned": fmean(len(found) for found in record.found),
            "possible": fmean(min(K, int((of > 0).sum())) for of in scores),
            "overlap@10": fmean(
                overlap(of, [stored.places[chunk] for chunk in found])
                for of, found in zip(scores, record.found, strict=True)
            ),
        }
        one = report[title]
        counted = [number(one[name], 1) for name in ("returned", "possible")]
        timed = [number(one["overlap@10"], 3), number(record.p50), number(record.p95)]
        rows.append([title, str(one["passing"]), *counted, *timed])
    print_rows(f"filters, words alone, top {K}", _WORDS_HEAD, rows)
    return report
