"""What a receipt is, who asked for it, and how its subject stood before and after."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tai_autonomics.cli.explaining.actions import RESULTS
from tai_autonomics.ledger.receipt import Cause, Subject

TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "transition": "a transition: what was asked was accepted, and the events are what it changed",
        "refusal": "a refusal: what was asked was decided and refused, and changed nothing",
        "action_attempt": "an action attempt: sealed before anything reaches out, so that none is unrecorded",
        "action_result": "an action result: what became of an action, or of an attempt of one",
    }
)

CAUSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "marketplace": "a call of POST /marketplace",
        "usage": "a call of POST /v1/tenants/{tenant}/usage",
        "signals": "a call of POST /v1/tenants/{tenant}/signals",
        "api": "a call of /v1",
        "pubsub": "a message at POST /pubsub",
        "cli": "the command line",
        "timer": "nobody but the time: a timer of this ledger was due",
        "executor": "the executor, which carries actions out",
    }
)
"""By `cause.kind`. One that is not here is told as it stands."""

ENTITLEMENT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "none": "there was no such entitlement",
        "requested": "it waits for a grant",
        "scheduled": "granted, and not in service yet",
        "active": "in service",
        "pending_cancellation": "in service until it ends",
        "suspended": "out of service until it is resumed",
        "rejected": "final: never granted",
        "cancelled": "final: ended by a cancellation",
        "expired": "final: ended with its term",
        "revoked": "final: taken away",
    }
)

GOVERNOR: Final[Mapping[str, str]] = MappingProxyType(
    {
        "boot": "no signal was taken yet",
        "stable": "nothing to act on",
        "warning": "a rule warns",
        "intervening": "an action is in flight",
        "refusing": "no rule acts",
    }
)

ACTION: Final[Mapping[str, str]] = MappingProxyType(
    {
        "awaiting_approval": "people must approve it first",
        "ready": "to be attempted",
        "attempting": "an attempt is under way",
        "retrying": "to be attempted again",
        **RESULTS,
    }
)
"""The stages of one in flight, and how one ends."""

HOLD: Final[Mapping[str, str]] = MappingProxyType(
    {
        "none": "there was no such hold",
        "on": "what is in its scope is refused",
        "released": "ended by a person",
        "expired": "ended by itself",
    }
)

CONTROL: Final[Mapping[str, str]] = MappingProxyType(
    {
        "missing": "nobody had attested it",
        "compliant": "attested to be met",
        "non_compliant": "attested not to be met",
        "lapsed": "its attestation was not renewed in time",
    }
)

STATES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {"entitlement": ENTITLEMENT, "governor": GOVERNOR, "action": ACTION, "hold": HOLD, "control": CONTROL}
)
"""Of the subjects with a lifecycle."""

SUBJECTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "entitlement": "the entitlement {id}",
        "quota": "the quota {id}",
        "governor": "the tenant's governor, {id}",
        "action": "the action {id}",
        "receipt": "receipt {id} of this ledger",
        "ledger": "this ledger as a whole, {id}",
        "hold": "the hold {id}",
        "control": "the control {id}",
    }
)


def about(subject: Subject, *, was: str | None, to: str | None) -> str:
    """The subject, and its state before and after, where it has one."""
    kind, id_ = subject["kind"], subject["id"]
    named = SUBJECTS[kind].format(id=id_) if kind in SUBJECTS else f"{kind} {id_}"
    if was is None and to is None:
        return f"{named}."
    if was == to:
        return f"{named}: it was and stays {_state(kind, was)}."
    return f"{named}: it was {_state(kind, was)} before, and is {_state(kind, to)} after."


def asked(cause: Cause) -> str:
    """Where the command came from, who sent it, and its id."""
    kind = cause["kind"]
    return f"{CAUSES.get(kind, kind)}, by {cause['by']}; the command's id is {cause['id']}."


def _state(kind: str, state: str | None) -> str:
    if state is None:
        return "not in flight" if kind == "action" else "in no state"
    words = STATES.get(kind, {}).get(state)
    return state if words is None else f"{state} ({words})"
