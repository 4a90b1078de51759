"""Where the lines of a rule's picture lie: what its conditions compare the measurement, or its window, with."""

from collections.abc import Iterator, Mapping
from typing import Final

from tai_autonomics.domain.identifiers import QuotaName
from tai_autonomics.domain.plans import Quota
from tai_autonomics.domain.rules import Rule
from tai_autonomics.policy.bands import bounds_of
from tai_autonomics.policy.cel import Language

DRAWN: Final = frozenset({"value", "window.avg", "window.min", "window.max", "window.last"})
"""Facts that have the measurement's own unit."""


def thresholds_of(rule: Rule, quotas: Mapping[QuotaName, Quota]) -> Iterator[tuple[str, float]]:
    """
    Each member of the rule with a value that its condition compares with, as ("act_when", 80.0).

    `quotas` are those of the rule's plan. A condition that compares nothing of the kind has no line.
    """
    language = Language(quotas)
    for member, condition in (
        ("warn_when", rule.warn_when),
        ("act_when", rule.act_when),
        ("clear_when", rule.clear_when),
    ):
        if condition is not None:
            for fact, bound in dict.fromkeys(bounds_of(language.read(condition.text)[1])):
                if fact in DRAWN:
                    yield member, bound
