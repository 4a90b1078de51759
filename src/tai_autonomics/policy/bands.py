"""
Whether a rule's conditions leave each other room, as far as that can be decided from their texts alone.

    clear_when ......| band: nothing changes |...... warn_when ......|...... act_when

Decided are conditions that compare one fact with one literal. Of all others nothing is said: they may well never hold.
"""

from collections.abc import Iterator, Mapping
from math import inf, nextafter
from typing import Final, NamedTuple

from tai_autonomics.domain.rules import SAMPLES_MAX, Lasting, Samples
from tai_autonomics.policy.syntax import Call, Constant, Expression, Name, parts_of

FLIPPED: Final = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_"}
COUNT: Final = "window.count"


class Band(NamedTuple):
    """The values of one fact for which a condition holds, both ends among them."""

    fact: str
    least: float
    most: float

    def meets(self, other: "Band") -> bool:
        return self.fact == other.fact and self.least <= other.most and other.least <= self.most

    def lies_in(self, other: "Band") -> bool:
        return self.fact == other.fact and other.least <= self.least and self.most <= other.most


def clashes(conditions: Mapping[str, Expression], over: Samples | Lasting | None) -> Iterator[tuple[str, str]]:
    """Which of warn_when, act_when and clear_when cannot be as it is, and why."""
    bands = {member: band for member, tree in conditions.items() if (band := band_of(tree)) is not None}
    for member, band in bands.items():
        if over is not None and band.fact == COUNT and not band.meets(_counts(over)):
            yield member, f"it can never hold: {COUNT} is {_said(_counts(over))}"
    warn, act, clear = (bands.get(member) for member in ("warn_when", "act_when", "clear_when"))
    for member, band in (("act_when", act), ("warn_when", warn)):
        if band is not None and clear is not None and clear.meets(band):
            yield "clear_when", f"it can hold while {member} does: leave a band between them"
    if warn is not None and act is not None and warn.lies_in(act):
        yield "warn_when", "it never holds before act_when does"


def band_of(tree: Expression) -> Band | None:
    """The band of a comparison of one fact with one literal; None of anything else."""
    match tree:
        case Call(operator, (Name(fact), Constant(int() | float() as bound))) if operator in FLIPPED:
            return _band(fact, operator, bound)
        case Call(operator, (Constant(int() | float() as bound), Name(fact))) if operator in FLIPPED:
            return _band(fact, FLIPPED[operator], bound)
        case _:
            return None


def bounds_of(tree: Expression) -> Iterator[tuple[str, float]]:
    """Every fact that the tree compares with one literal, and that literal."""
    for part in parts_of(tree):
        match part:
            case Call(operator, (Name(fact), Constant(int() | float() as bound))) if operator in FLIPPED:
                yield fact, bound
            case Call(operator, (Constant(int() | float() as bound), Name(fact))) if operator in FLIPPED:
                yield fact, bound
            case _:
                continue


def _band(fact: str, operator: str, bound: float) -> Band:
    match operator:
        case "_<_":
            return Band(fact, -inf, nextafter(bound, -inf))
        case "_<=_":
            return Band(fact, -inf, bound)
        case "_>_":
            return Band(fact, nextafter(bound, inf), inf)
        case _:
            return Band(fact, bound, inf)


def _counts(over: Samples | Lasting) -> Band:
    """How many measurements a window can have when the rule is asked."""
    match over:
        case Samples(count):
            return Band(COUNT, count, count)
        case Lasting():
            return Band(COUNT, 1, SAMPLES_MAX)


def _said(band: Band) -> str:
    return f"{band.least:.0f}" if band.least == band.most else f"{band.least:.0f} to {band.most:.0f}"
