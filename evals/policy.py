"""Policy: what the gate looks at, and what it stops for; `evals/gate.toml` is the one that comes with Footnote."""

from codecs import BOM_UTF8
from pathlib import Path

import msgspec

from app.domain.errors import InvalidInput

DEFAULT = Path(__file__).with_name("gate.toml")


class Measure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One measure: the smallest difference that matters, which way is better, and whether it may stop a change.

    `stop_underpowered`: stop also when too few questions were asked to tell.
    """

    matters: float
    higher_is_better: bool = True
    gates: bool = True
    stop_underpowered: bool = False


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`alpha` is the chance of a false alarm that is accepted for all gating measures together, `power` the chance of
    finding a difference that matters below which the gate says that it cannot tell. A judge's verdicts count from a
    `judge_kappa` on."""

    measures: dict[str, Measure]
    alpha: float = 0.05
    power: float = 0.8
    judge_kappa: float = 0.6


def load_policy(path: Path = DEFAULT) -> Policy:
    """Raises InvalidInput with what is wrong."""
    try:
        policy = msgspec.toml.decode(path.read_bytes().removeprefix(BOM_UTF8), type=Policy)
    except OSError as error:
        raise InvalidInput(f"{path}: the policy cannot be read ({error.strerror}).") from error
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"{path}: {error}") from error
    wrong = [name for name, measure in policy.measures.items() if measure.matters <= 0]
    if wrong or not policy.measures or not 0 < policy.alpha < 1 or not 0 < policy.power < 1:
        raise InvalidInput(
            f"{path}: alpha and power lie between 0 and 1, there is at least one measure, and what matters is above 0"
            + (f" ({', '.join(wrong)})." if wrong else ".")
        )
    return policy
