"""Actions: what is shown of them, and what operators decide of the one in flight: approve, deny, cancel."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from tai_autonomics.application.actions import RESULTS, STAGES, ActionView, State
from tai_autonomics.domain.governor import ApproveAction, CancelAction, DenyAction
from tai_autonomics.domain.identifiers import IDENTIFIER, ActionId
from tai_autonomics.errors import Malformed
from tai_autonomics.ingress import parsing
from tai_autonomics.ingress.decisions import caller_of, reached_of, tenant_of
from tai_autonomics.ingress.exchange import Exchange, Reply, TurnedAway
from tai_autonomics.ingress.front_door import FrontDoor
from tai_autonomics.ingress.governing import tell
from tai_autonomics.ingress.replies import json_reply

S = TypeVar("S", bound=State)


class ActionList(Struct, frozen=True):
    """A page may have fewer items than `limit`, even none: `next` alone says whether there is more."""

    items: tuple[ActionView, ...]
    next: str | None


class InFlightList(Struct, frozen=True):
    """The same over all tenants; `unreadable` are those of this page whose state cannot be had now, if any."""

    items: tuple[ActionView, ...]
    next: str | None
    unreadable: tuple[str, ...]


async def listed(exchange: Exchange, door: FrontDoor) -> Reply:
    """A tenant's actions: the one in flight, and then the settled ones, the newest first."""
    tenant = tenant_of(exchange)
    query = parsing.query_of(exchange.query, ("cursor", "limit", "state"))
    of = f"actions/{tenant}"
    page = parsing.page_of(query, of)
    before = _before(page)
    found = await door.queries.actions(tenant, before, page.limit, _state_of(query, (*STAGES, *RESULTS)))
    if found is None:
        raise TurnedAway("not_found", "this tenant has no ledger")
    more = None if found.before is None else parsing.cursor_after(of, str(found.before))
    return json_reply(ActionList(found.items, more))


async def one(exchange: Exchange, door: FrontDoor) -> Reply:
    """An action with everything that its receipts say of it."""
    tenant, action_id = tenant_of(exchange), _action_of(exchange)
    parsing.query_of(exchange.query, ())
    found = await door.queries.action(tenant, action_id)
    if found is None:
        raise TurnedAway("not_found", "this tenant's ledger has no such action")
    return json_reply(found)


async def in_flight(exchange: Exchange, door: FrontDoor) -> Reply:
    """Actions in flight, of the tenants that the caller reaches."""
    query = parsing.query_of(exchange.query, ("cursor", "limit", "state"))
    page = parsing.page_of(query, "actions")
    found = await door.queries.actions_in_flight(reached_of(exchange), page.after, page.limit, _state_of(query, STAGES))
    more = None if found.after is None else parsing.cursor_after("actions", found.after)
    return json_reply(InFlightList(found.items, more, found.unreadable))


def _before(page: parsing.Page) -> int | None:
    before = parsing.count(page.after)
    if page.after and before is None:
        raise Malformed("malformed_request", "this cursor is not one of ours")
    return before


def _state_of(query: Mapping[str, str], known: Sequence[S]) -> S | None:
    text = query.get("state")
    if text is None:
        return None
    for state in known:
        if state == text:
            return state
    raise Malformed("malformed_request", f"state is one of {', '.join(known)}")


async def approve(exchange: Exchange, door: FrontDoor) -> Reply:
    """One person's approval; the last one that is wanted gives it its deadline."""
    action_id, by = _action_of(exchange), caller_of(exchange).subject
    return await tell(
        exchange, door, ApproveAction(action_id, by), {"operation": "action.approve", "action": action_id}
    )


async def deny(exchange: Exchange, door: FrontDoor) -> Reply:
    """Nothing is done. Only while it waits for approval."""
    action_id, by = _action_of(exchange), caller_of(exchange).subject
    return await tell(exchange, door, DenyAction(action_id, by), {"operation": "action.deny", "action": action_id})


async def cancel(exchange: Exchange, door: FrontDoor) -> Reply:
    """Nothing more is done. Only while no attempt is under way."""
    action_id, by = _action_of(exchange), caller_of(exchange).subject
    return await tell(exchange, door, CancelAction(action_id, by), {"operation": "action.cancel", "action": action_id})


def _action_of(exchange: Exchange) -> ActionId:
    text = exchange.parameters["action"]
    if IDENTIFIER.fullmatch(text) is None:
        raise Malformed("malformed_request", "this is not the id of an action")
    return ActionId(text)
