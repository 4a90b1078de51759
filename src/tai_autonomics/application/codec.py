"""Events and state to bytes and back; old versions are lifted here alone."""

from hashlib import sha256
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from tai_autonomics.domain.tenant import INITIAL_STATE, Event, SetEffect, SetTimer, TenantState, due_of, standing
from tai_autonomics.errors import LedgerNewerThanCode
from tai_autonomics.ledger.canonical import canonical
from tai_autonomics.ledger.records import Base, Due, DueKey, Receipt, Snapshot

STATE_VERSION: Final = 3
"""
Raised when TenantState changes its shape, so that no older release takes a snapshot for whole that it cannot read.

1: entitlements, quotas and their timers. 2: the governor and the fleet's budgets, which a tenant of 1 has not used.
3: holds and attested controls, and a governor that refuses because of them, none of which a tenant of 2 has.
"""
LIFTED: Final = frozenset({1, 2, STATE_VERSION})
"""Versions that can be read; a snapshot of another one is ignored and rebuilt from receipts."""

_REQUEST_VERSION: Final = b"tai/request/v1\x00"


class _Replayed(Struct, frozen=True):
    """What replay needs of a body, and the version that says how to read it."""

    v: Literal[1]
    events: tuple[Event, ...]


class _Linked(Struct, frozen=True):
    prev: str


_bodies: Final = msgspec.json.Decoder(_Replayed)
_links: Final = msgspec.json.Decoder(_Linked)
_states: Final = msgspec.json.Decoder(TenantState)
_state_encoder: Final = msgspec.json.Encoder()


def request_digest(members: dict[str, Any]) -> str:
    """The versioned SHA-256 of what the caller sent, without erasable parts, defaults, time and caller."""
    return sha256(_REQUEST_VERSION + canonical(members)).hexdigest()


def events_to_json(events: tuple[Event, ...]) -> list[Any]:
    """Events as the receipt's body holds them: only JSON types, absent members left out."""
    return msgspec.to_builtins(events)  # type: ignore[no-any-return]  # a tuple becomes a list


def events_of(receipt: Receipt) -> tuple[Event, ...]:
    """Raises LedgerNewerThanCode when an event is of a kind or shape that this release does not know."""
    try:
        return _bodies.decode(receipt.body).events
    except msgspec.ValidationError as error:
        raise LedgerNewerThanCode(f"receipt {receipt.seq} of {receipt.tenant}: {error}") from error


def event_of(members: dict[str, Any]) -> Event | None:
    """One event as a parsed body holds it; None when this release does not know its kind or shape."""
    try:
        event: Event = msgspec.convert(members, Event)
    except msgspec.ValidationError:
        return None
    return event


def prev_of(receipt: Receipt) -> str:
    """The hash of the receipt that this one follows."""
    return _links.decode(receipt.body).prev


def state_to_bytes(state: TenantState) -> bytes:
    return _state_encoder.encode(state)


def state_of(snapshot: Snapshot) -> TenantState | None:
    """The snapshot's state, or None when it cannot be lifted: then the receipts rebuild it."""
    if snapshot.state_version not in LIFTED:
        return None
    try:
        return _states.decode(snapshot.state)
    except msgspec.DecodeError:
        return None


def state_at(base: Base | None) -> TenantState:
    """
    The state that a ledger's receipts go on from. Raises LedgerNewerThanCode where it cannot be lifted.

    The receipts before a base are not there to rebuild it.
    """
    if base is None:
        return INITIAL_STATE
    if (state := state_of(base.snapshot)) is None:
        raise LedgerNewerThanCode(
            f"the state at receipt {base.seq} of ledger {base.snapshot.ledger} has version"
            f" {base.snapshot.state_version}, and this release knows {sorted(LIFTED)}"
        )
    return state


def rows_at(base: Base) -> tuple[Due, ...]:
    """What is due by a base's state."""
    return tuple(Due(row.subject, row.kind, row.due) for row in standing(state_at(base)))


def due_rows(events: tuple[Event, ...]) -> dict[tuple[str, str], Due | DueKey]:
    """What becomes due by these events and what they settle; the last word on a (subject, kind) stands."""
    rows: dict[tuple[str, str], Due | DueKey] = {}
    for event in events:
        for change in due_of(event):
            key = (change.subject, change.kind)
            rows[key] = Due(*key, change.due) if isinstance(change, SetTimer | SetEffect) else DueKey(*key)
    return rows
