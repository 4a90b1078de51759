"""What a decision on a tenant says."""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from tai_autonomics.domain.compliance import ComplianceState, is_closed
from tai_autonomics.domain.decider import Accepted, Refused, fold
from tai_autonomics.domain.gates import Failed, Passed
from tai_autonomics.domain.governor import GovernorEvent, hold_noted
from tai_autonomics.domain.governor import evolve as evolve_governor
from tai_autonomics.domain.moments import Moment
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

    kind: Literal["entitlement", "quota", "governor", "action", "receipt", "ledger", "hold", "control"]
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


def with_consequences(
    events: tuple[Event, ...],
    state: TenantState,
    plan: Plan | None,
    now: Moment,
    compliance: ComplianceState | None = None,
) -> tuple[Event, ...]:
    """
    The events, and what they or another plans file made of the tenant: another effective plan, rules that are held.

    `state` is before the events; `plan`, and `compliance` where they change it, are after them.
    """
    name = None if plan is None else plan.name
    if name != state.plan:
        events = (*events, EffectivePlanChanged(was=state.plan, plan=name))
    closed = is_closed(() if plan is None else plan.requires, "actions", compliance or state.compliance, now)
    if closed is ("hold" in state.governor.refusing):
        return events
    governor = fold(evolve_governor, state.governor, _governors(events))
    noted = hold_noted(governor, now, closed=closed)
    return events if noted is None else (*events, noted)


def _governors(events: Iterable[Event]) -> Iterable[GovernorEvent]:
    return (event for event in events if isinstance(event, GovernorEvent))
