"""What a decision on a tenant says."""

from typing import Literal

from msgspec import Struct

from tai_autonomics.domain.decider import Accepted, Refused
from tai_autonomics.domain.gates import Failed, Passed
from tai_autonomics.domain.plans import Plan
from tai_autonomics.domain.tenant.events import EffectivePlanChanged, Event
from tai_autonomics.domain.tenant.state import TenantState

Kind = Literal["transition", "action_attempt", "action_result"]


class Bounds(Struct, frozen=True):
    """
    `entitlements_max` counts every entitlement of the tenant, final ones too, because each takes memory.

    `observed_ahead_seconds_max` is how far a source's own time may be ahead of ours.
    """

    entitlements_max: int
    observed_ahead_seconds_max: int


class Subject(Struct, frozen=True, gc=False):
    """What a command is about. A receipt's id is its seq, a ledger's its ULID; a tenant has one governor, autonomic."""

    kind: Literal["entitlement", "quota", "governor", "action", "receipt", "ledger"]
    id: str


class Decision(Struct, frozen=True):
    """
    The answer to one command. `gates` are those that were asked, up to and including the first failure.

    `was` and `to` are the status before and after, of a subject with a lifecycle; both the present one in a refusal.
    """

    subject: Subject
    was: str | None
    to: str | None
    gates: tuple[Passed | Failed, ...]
    outcome: Accepted[Event] | Refused
    kind: Kind = "transition"
    """What its receipt records, where it is accepted."""


def refused_by(subject: Subject, status: str | None, passed: tuple[Passed, ...], failed: Failed) -> Decision:
    assert failed.reason != "feature_not_in_plan"  # only a check asks for a feature
    refused = Refused(failed.reason, failed.detail, failed.next_step)
    return Decision(subject, status, status, (*passed, failed), refused)


def with_plan(events: tuple[Event, ...], state: TenantState, plan: Plan | None) -> tuple[Event, ...]:
    """The events, and the change of the effective plan, if they or another plans file made one."""
    name = None if plan is None else plan.name
    if name == state.plan:
        return events
    return (*events, EffectivePlanChanged(was=state.plan, plan=name))
