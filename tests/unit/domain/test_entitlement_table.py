"""The whole table of domain.md, walked both ways: what it lists is accepted, everything else is refused."""

from typing import get_args

import pytest
from tests.builders import EARLIER, ENT, LATER, LATEST, NOW, PRO, plans

from tai_autonomics.domain.decider import Accepted, name_of
from tai_autonomics.domain.entitlement import (
    INITIAL_STATE,
    Activate,
    ApplyPlanChange,
    Cancel,
    ChangePlan,
    EndTerm,
    EntitlementCommand,
    EntitlementState,
    EntitlementTimer,
    Expire,
    Grant,
    Reinstate,
    Reject,
    Renew,
    Request,
    Resume,
    Revoke,
    Status,
    Suspend,
    Verify,
    decide,
    elapse,
    evolve,
)

STATES: dict[str, EntitlementState] = {
    "none": INITIAL_STATE,
    "requested": EntitlementState("requested", PRO),
    "scheduled": EntitlementState("scheduled", PRO, effective_at=NOW, expires_at=LATER),
    "active": EntitlementState("active", PRO, expires_at=NOW, next_plan=PRO, next_plan_at=NOW),
    "active without term": EntitlementState("active", PRO),
    "pending_cancellation": EntitlementState(
        "pending_cancellation", PRO, expires_at=NOW, ends_at=NOW, next_plan=PRO, next_plan_at=NOW
    ),
    "suspended": EntitlementState(
        "suspended", PRO, expires_at=NOW, was="active", next_plan=PRO, next_plan_at=NOW, cancellation_date=None
    ),
    "suspended while pending": EntitlementState(
        "suspended", PRO, expires_at=NOW, ends_at=NOW, was="pending_cancellation", next_plan=PRO, next_plan_at=NOW
    ),
    "rejected": EntitlementState("rejected", ended_at=EARLIER),
    "cancelled": EntitlementState("cancelled", ended_at=EARLIER),
    "expired": EntitlementState("expired", ended_at=EARLIER),
    "revoked": EntitlementState("revoked", ended_at=EARLIER),
}
NOT_FINAL = ("requested", "scheduled", "active", "active without term", "pending_cancellation", "suspended")
ACTIVE = {"active": "active", "active without term": "active"}
SERVED = {**ACTIVE, "pending_cancellation": "pending_cancellation"}
SUSPENDED = {"suspended": "suspended", "suspended while pending": "suspended"}

# command -> the states it is allowed from -> the state it leads to
TABLE: list[tuple[EntitlementCommand, dict[str, Status]]] = [
    (Verify(ENT), SERVED),
    (Request(ENT, PRO), {"none": "requested"}),
    (Grant(ENT, PRO), {"none": "active", "requested": "active", "scheduled": "active"}),
    (
        Grant(ENT, PRO, effective_at=LATER, expires_at=LATEST),
        {"none": "scheduled", "requested": "scheduled", "scheduled": "scheduled"},
    ),
    (Reject(ENT), {"requested": "rejected", "scheduled": "rejected"}),
    (ChangePlan(ENT, PRO), SERVED),
    (ChangePlan(ENT, PRO, effective_at=LATER), SERVED),
    (Suspend(ENT), dict.fromkeys(SERVED, "suspended")),
    (Resume(ENT), {"suspended": "active", "suspended while pending": "pending_cancellation"}),
    (Cancel(ENT), dict.fromkeys((*ACTIVE, *SUSPENDED), "cancelled")),
    (
        Cancel(ENT, effective_at=LATER),
        {
            "active without term": "pending_cancellation",
            "active": "cancelled",
            "suspended": "cancelled",
            "suspended while pending": "cancelled",
        },
    ),
    (Reinstate(ENT), {"pending_cancellation": "active"}),
    (Renew(ENT, LATER), {**SERVED, **SUSPENDED}),
    (Revoke(ENT), dict.fromkeys((*NOT_FINAL, "suspended while pending"), "revoked")),
]
TIMERS: list[tuple[EntitlementTimer, dict[str, Status]]] = [
    (Activate(ENT, NOW), {"scheduled": "active"}),
    (Expire(ENT, NOW), {"active": "expired", **dict.fromkeys(SUSPENDED, "expired")}),
    (EndTerm(ENT, NOW), {"pending_cancellation": "cancelled", "suspended while pending": "cancelled"}),
    (
        ApplyPlanChange(ENT, NOW),
        {"active": "active", "pending_cancellation": "pending_cancellation", **SUSPENDED},
    ),
]


def test_the_walk_meets_every_state() -> None:
    assert {state.status for state in STATES.values()} == set(get_args(Status))


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize(("command", "leads_to"), TABLE, ids=lambda value: str(value)[:60])
def test_a_command_is_allowed_from_exactly_its_states(
    command: EntitlementCommand, leads_to: dict[str, Status], name: str
) -> None:
    state = STATES[name]
    outcome = decide(command, state, now=NOW, plans=plans(), observed_ahead_seconds_max=300)
    if name in leads_to:
        assert isinstance(outcome, Accepted)
        (event,) = outcome.events
        assert evolve(state, event).status == leads_to[name]
    else:
        assert not isinstance(outcome, Accepted)
        assert outcome.reason == "invalid_transition"
        assert outcome.detail == f"cannot {name_of(command)} while {state.status}"


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize(("timer", "leads_to"), TIMERS, ids=lambda value: str(value)[:60])
def test_a_timer_is_allowed_from_exactly_its_states(
    timer: EntitlementTimer, leads_to: dict[str, Status], name: str
) -> None:
    outcome = elapse(timer, STATES[name], now=NOW)
    if name in leads_to:
        assert isinstance(outcome, Accepted)
        (event,) = outcome.events
        assert evolve(STATES[name], event).status == leads_to[name]
    else:
        assert not isinstance(outcome, Accepted)
        assert outcome.reason == "invalid_transition"


@pytest.mark.parametrize("name", STATES)
def test_what_a_refusal_names_as_allowed_is_allowed_and_nothing_else_is(name: str) -> None:
    state = STATES[name]
    impossible = Request(ENT, PRO) if state.status != "none" else Reject(ENT)
    refused = decide(impossible, state, now=NOW, plans=plans(), observed_ahead_seconds_max=300)
    assert not isinstance(refused, Accepted)
    allowed = {name_of(command) for command, leads_to in TABLE if name in leads_to}
    if allowed:
        assert refused.next_step == f"allowed while {state.status}: {', '.join(sorted(allowed, key=ORDER.index))}"
    else:
        assert refused.next_step == "request a new entitlement id: this one is final"


ORDER = list(dict.fromkeys(name_of(command) for command, _ in TABLE))


@pytest.mark.parametrize("timer", [timer for timer, _ in TIMERS], ids=name_of)
def test_a_timer_is_refused_when_it_was_moved_or_comes_too_early(timer: EntitlementTimer) -> None:
    state = EntitlementState(
        "scheduled" if isinstance(timer, Activate) else "suspended",
        PRO,
        effective_at=NOW,
        expires_at=NOW,
        ends_at=NOW,
        next_plan=PRO,
        next_plan_at=NOW,
    )
    assert isinstance(elapse(timer, state, now=NOW), Accepted)
    assert not isinstance(elapse(timer, state, now=EARLIER), Accepted)
    moved = type(timer)(ENT, EARLIER)
    assert not isinstance(elapse(moved, state, now=NOW), Accepted)
