"""Gate benchmark: how often the gate is wrong, on changes whose effect is known.

`python -m evals.bench.gate` simulates suites of 50 to 500 questions with three measures that gate together, of three
kinds: graded (each question has its own level, each run scatters around it), right or wrong (each question has its own
chance), and steady (right or wrong, but only the change alters answers). A change moves all three by 0, -2, -5 or -10
points. Printed is the share of each verdict of the first measure, and how often any measure raises a false alarm. No
model takes part.
"""

from collections import Counter
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from evals.gate import compare
from evals.policy import Measure, Policy

MEASURES = ("first", "second", "third")
MATTERS = 0.05
EFFECTS = (0.0, -0.02, -0.05, -0.10)
SIZES = (50, 100, 200, 500)
SCATTER = 0.15  # standard deviation of one run around a question's level
RESAMPLES = 1000
Scores = NDArray[np.float64]


def main(
    runs: Annotated[
        int, typer.Option(help="Simulated changes for each cell; five times as many without effect.")
    ] = 200,
    seed: Annotated[int, typer.Option(help="Of what is random.")] = 1,
) -> None:
    """Simulate, and print the tables."""
    for kind in ("graded", "right or wrong", "steady"):
        table = Table("effect", "questions", "worse", "better", "same", "underpowered", "any false alarm", "power told")
        table.title = f"{kind}; {MATTERS:.2f} matters"
        for effect in EFFECTS:
            for size in SIZES:
                table.add_row(*_cell(kind, effect, size, runs * (1 if effect else 5), seed))
        Console(width=110).print(table)


def _cell(kind: str, effect: float, size: int, runs: int, seed: int) -> tuple[str, ...]:
    policy = Policy({name: Measure(MATTERS) for name in MEASURES})
    chance = np.random.default_rng([seed, size, round(-effect * 100)])
    questions = [str(number) for number in range(size)]
    verdicts: Counter[str] = Counter()
    alarms, told = 0, []
    for _ in range(runs):
        measured = simulated(kind, effect, size, chance)
        comparisons = compare(questions, measured, policy, resamples=RESAMPLES)
        verdicts[comparisons[0].verdict] += 1
        told.append(comparisons[0].power)
        wrong = {"better", "worse"} if effect == 0 else {"better"}
        alarms += any(comparison.verdict in wrong for comparison in comparisons)
    shares = [f"{verdicts[name] / runs:.3f}" for name in ("worse", "better", "same", "underpowered")]
    return (f"{effect:+.2f}", str(size), *shares, f"{alarms / runs:.3f}", f"{np.median(told):.2f}")


def simulated(kind: str, effect: float, size: int, chance: np.random.Generator) -> dict[str, tuple[Scores, Scores]]:
    """Base and head of three measures, which agree about which questions are hard."""
    level = chance.beta(3, 1.5, size)
    measured = {}
    for name in MEASURES:
        own = np.clip(level + chance.normal(0, 0.05, size), 0.12, 0.98)
        moved = own + effect
        if kind == "graded":
            measured[name] = (own + chance.normal(0, SCATTER, size), moved + chance.normal(0, SCATTER, size))
        else:
            drawn = np.broadcast_to(chance.random((1 if kind == "steady" else 2, size)), (2, size))
            measured[name] = ((drawn[0] < own).astype(float), (drawn[1] < moved).astype(float))
    return measured


if __name__ == "__main__":
    typer.run(main)
