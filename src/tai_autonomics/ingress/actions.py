"""What operators decide of the action in flight: approve, deny, cancel."""

import re
from typing import Final

from tai_autonomics.domain.governor import ApproveAction, CancelAction, DenyAction
from tai_autonomics.domain.identifiers import ActionId
from tai_autonomics.errors import Malformed
from tai_autonomics.ingress.decisions import caller_of
from tai_autonomics.ingress.exchange import Exchange, Reply
from tai_autonomics.ingress.front_door import FrontDoor
from tai_autonomics.ingress.governing import tell
from tai_autonomics.ingress.parsing import IDENTIFIER_PATTERN

_ID: Final = re.compile(IDENTIFIER_PATTERN, re.ASCII)


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
    if _ID.fullmatch(text) is None:
        raise Malformed("malformed_request", "this is not the id of an action")
    return ActionId(text)
