"""
A rule: on which signal to act, how, and within which bounds.

    clear --warn_when--> warning --act_when--> acts, then not again before its cool-down ends --clear_when--> clear

Conditions come ready to be asked; the domain does not know the language that they are written in.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, Literal

from msgspec import Struct

from tai_autonomics.domain.actions import Order
from tai_autonomics.domain.identifiers import MetricName, PlanName, QuotaName, RuleName

Mode = Literal["enforce", "approve", "shadow"]

SAMPLES_MAX: Final = 120
"""As many measurements of one metric are kept; a longer window has no more."""
RULES_MAX: Final = 20
"""As many rules a plan may have: one receipt holds what all of them say to the same signals."""


class Window(Struct, frozen=True):
    """What a rule sees of the measurements that its `over` covers, the newest among them."""

    avg: Decimal
    """To nine places, half to even."""
    min: Decimal
    max: Decimal
    last: Decimal
    count: int


class QuotaFacts(Struct, frozen=True):
    """How a quota of the effective plan stands; `limit` and `remaining` None is unlimited."""

    limit: int | None
    used: int
    remaining: int | None


class Facts(Struct, frozen=True):
    """All that a condition may ask about."""

    value: Decimal
    window: Window
    labels: Mapping[str, str]
    plan: PlanName
    quota: Mapping[QuotaName, QuotaFacts]


class Condition(Struct, frozen=True):
    """
    `text` is as the plans file has it. `holds` raises ConditionFailed where it has no answer (a label that is not
    there, a division by zero, a cost over its bound): such a condition does not hold, and the receipt says why.
    """

    text: str
    holds: Callable[[Facts], bool]


class ConditionFailed(Exception):
    """A condition that has no answer for these facts; its text says why, in at most 200 characters."""


class Samples(Struct, frozen=True):
    """A window of the newest `count` measurements. With fewer, the rule waits."""

    count: int


class Lasting(Struct, frozen=True):
    """A window of the measurements of the last so many seconds, by their own times."""

    seconds: int


class Approval(Struct, frozen=True):
    """Nothing happens before so many different people have approved, and nothing at all after `within_seconds`."""

    within_seconds: int
    people: int = 1


class Rule(Struct, frozen=True):
    """
    Between `act_when` and `clear_when` nothing changes (hysteresis). Without `warn_when` it does not warn.

    `approval` is there exactly where the mode is approve.
    """

    name: RuleName
    signal: MetricName
    over: Samples | Lasting
    act_when: Condition
    clear_when: Condition
    cooldown_seconds: int
    order: Order
    mode: Mode
    warn_when: Condition | None = None
    approval: Approval | None = None
    attempts_max: int = 3
    timeout_seconds: int = 10


class Budget(Struct, frozen=True):
    """At most `max` in each window of `per_seconds`; windows are fixed, counted from 1970-01-01T00:00:00Z."""

    max: int
    per_seconds: int


class Governance(Struct, frozen=True):
    """A plan's `governor` section. `failures_max` failed actions in a row open the breaker; None: it never opens."""

    rules: tuple[Rule, ...] = ()
    budget: Budget | None = None
    failures_max: int | None = None
