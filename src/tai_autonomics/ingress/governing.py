"""What operators tell a tenant's governor: pause and resume."""

from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from tai_autonomics.domain.compliance import ReleaseHold
from tai_autonomics.domain.governor import ApproveAction, CancelAction, DenyAction, PauseGovernor, ResumeGovernor
from tai_autonomics.ingress import parsing, strict_json
from tai_autonomics.ingress.decisions import decide, own_command_id, reply_with, submission_of, tenant_of
from tai_autonomics.ingress.exchange import Exchange, Reply
from tai_autonomics.ingress.front_door import FrontDoor
from tai_autonomics.ingress.parsing import KeyText, ReasonText

Told = PauseGovernor | ResumeGovernor | ApproveAction | DenyAction | CancelAction | ReleaseHold


class WordAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """Why, in an operator's words, and its idempotency key. The body may be left out."""

    reason: ReasonText | UnsetType = UNSET
    request_id: KeyText | UnsetType = UNSET


_words: Final = msgspec.json.Decoder(WordAsked)


async def pause(exchange: Exchange, door: FrontDoor) -> Reply:
    """No rule acts until it is resumed; what is in flight goes on."""
    return await tell(exchange, door, PauseGovernor(), {"operation": "governor.pause"})


async def resume(exchange: Exchange, door: FrontDoor) -> Reply:
    """Ends a pause, an open breaker, and the wait for a person after an unknown outcome."""
    return await tell(exchange, door, ResumeGovernor(), {"operation": "governor.resume"})


async def tell(exchange: Exchange, door: FrontDoor, command: Told, asked: dict[str, str]) -> Reply:
    """One command of an operator, one receipt. `asked` is what the digest covers."""
    tenant = tenant_of(exchange)
    raw = await exchange.body(door.limits.body_bytes_max) or b"{}"
    body = strict_json.decode(_words, raw)
    parts = parsing.parts_of(body, ("reason",), door.limits.metadata_bytes_max)
    strict_json.parse(raw)
    submission = submission_of(
        exchange,
        tenant=tenant,
        command=command,
        id=own_command_id(exchange, door, parsing.key_of(exchange.headers, body.request_id)),
        source="api",
        asked=asked,
        parts=parts,
    )
    return await reply_with(exchange, door, await decide(exchange, door, submission))
