"""What a governor answers with: Accepted(events) or Refused(reason), and how events become state."""

from collections.abc import Callable, Iterable
from functools import cache
from re import sub
from typing import Generic, Literal, TypeVar

from msgspec import Struct

Reason = Literal[
    "entitlement_inactive",
    "compliance_closed",
    "governor_refusing",
    "too_many_entitlements",
    "invalid_transition",
    "invalid_time",
    "stale",
    "clock_skew",
    "unknown_plan",
    "unknown_quota",
    "unknown_metric",
    "quota_exceeded",
    "rate_limited",
    "release_exceeds_use",
    "action_budget_exhausted",
]
"""Every reason that a sealed refusal can have."""

E = TypeVar("E")
S = TypeVar("S")


class Accepted(Struct, Generic[E], frozen=True):
    """The command holds; `events` are what it changes, in order."""

    events: tuple[E, ...]


class Refused(Struct, frozen=True, gc=False):
    """The command does not hold and changes nothing. `next_step` is what the caller can do."""

    reason: Reason
    detail: str
    next_step: str


class Recorded(
    Struct, frozen=True, gc=False, tag=True, tag_field="type", omit_defaults=True, forbid_unknown_fields=True
):
    """
    What every event is: it carries each value that it changes, and its type's name when it is written.

    A member that this release does not know is no event of it: passed over, it would make another state.
    """


def fold(evolve: Callable[[S, E], S], state: S, events: Iterable[E]) -> S:
    """The state after the events."""
    for event in events:
        state = evolve(state, event)
    return state


def name_of(command: Struct) -> str:
    """A command's name in snake case: "verify", "change_plan"."""
    return name_of_type(type(command))


@cache
def name_of_type(command_type: type[Struct]) -> str:
    """The same of the command's type."""
    return sub(r"(?<!^)(?=[A-Z])", "_", command_type.__name__).lower()
