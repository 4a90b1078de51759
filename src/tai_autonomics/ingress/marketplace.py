"""POST /marketplace: JSON to one entitlement command, and its receipt back."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from tai_autonomics.application.ports import ReceivedWebhook
from tai_autonomics.domain.entitlement import (
    Cancel,
    ChangePlan,
    Grant,
    Reinstate,
    Reject,
    Renew,
    Request,
    Resume,
    Revoke,
    Suspend,
    Verify,
)
from tai_autonomics.domain.identifiers import parse_entitlement_id, parse_name, parse_tenant_id
from tai_autonomics.domain.tenant import Command
from tai_autonomics.errors import Malformed
from tai_autonomics.ingress import parsing, strict_json
from tai_autonomics.ingress.authentication import MARKETPLACE, require_command
from tai_autonomics.ingress.decisions import admit, caller_of, decide, own_command_id, reply_with, submission_of
from tai_autonomics.ingress.exchange import Exchange, Reply
from tai_autonomics.ingress.front_door import FrontDoor
from tai_autonomics.ingress.parsing import IdText, KeyText, ReasonText, TimeText

PARTS: Final = ("metadata", "reason")
DEFAULTS: Final = MappingProxyType({"action": "verify"})


class Form(Struct, frozen=True):
    """Which members an action takes, beside tenant, entitlement, metadata, reason and request_id."""

    command: type[Any]
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ("observed_at",)


FORMS: Final[Mapping[str, Form]] = MappingProxyType(
    {
        "verify": Form(Verify, optional=()),
        "request": Form(Request, required=("plan",)),
        "grant": Form(Grant, optional=("plan", "effective_at", "expires_at", "observed_at")),
        "reject": Form(Reject),
        "change_plan": Form(ChangePlan, required=("plan",), optional=("effective_at", "observed_at")),
        "suspend": Form(Suspend),
        "resume": Form(Resume),
        "cancel": Form(Cancel, optional=("effective_at", "observed_at")),
        "reinstate": Form(Reinstate),
        "renew": Form(Renew, required=("expires_at",)),
        "revoke": Form(Revoke),
    }
)
_MEMBERS: Final = ("plan", "effective_at", "expires_at", "observed_at")


class MarketplaceCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked of one entitlement; without an action, whether it is in service."""

    tenant_id: IdText
    entitlement_id: IdText
    action: Annotated[str, Meta(extra_json_schema={"enum": list(FORMS), "default": "verify"})] | UnsetType = UNSET
    plan: IdText | UnsetType = UNSET
    effective_at: TimeText | UnsetType = UNSET
    expires_at: TimeText | UnsetType = UNSET
    observed_at: TimeText | UnsetType = UNSET
    reason: ReasonText | UnsetType = UNSET
    metadata: Raw | UnsetType = UNSET
    request_id: KeyText | UnsetType = UNSET


class Parsed(Struct, frozen=True, gc=False):
    """A command that is understood; `key` is its own request_id, if it has one."""

    tenant: str
    action: str
    command: Command
    key: str | None
    parts: tuple[tuple[str, bytes], ...]


_decoder: Final = msgspec.json.Decoder(MarketplaceCommand)


def command_of(raw: bytes, *, metadata_bytes_max: int) -> Parsed:
    """A marketplace command; whether its JSON is strict is for the caller to ask. Raises Malformed."""
    body = strict_json.decode(_decoder, raw)
    tenant = parsing.at("/tenant_id", parse_tenant_id, body.tenant_id)
    entitlement = parsing.at("/entitlement_id", parse_entitlement_id, body.entitlement_id)
    action = "verify" if body.action is UNSET else body.action
    form = FORMS.get(action)
    if form is None:
        raise Malformed("unknown_action", f"an action is one of {', '.join(FORMS)}", pointer="/action")
    command = form.command(entitlement_id=entitlement, **_members_of(body, action, form))
    key = parsing.key_in(body.request_id)
    return Parsed(tenant, action, command, key, parsing.parts_of(body, PARTS, metadata_bytes_max))


def _members_of(body: MarketplaceCommand, action: str, form: Form) -> dict[str, str]:
    members: dict[str, str] = {}
    for name in _MEMBERS:
        value: str | UnsetType = getattr(body, name)
        if value is UNSET:
            if name in form.required:
                raise Malformed("missing_field", f"{name} is required for {action}", pointer=f"/{name}")
        elif name not in form.required and name not in form.optional:
            raise Malformed("malformed_request", f"{name} does not apply to {action}", pointer=f"/{name}")
        elif name == "plan":
            members[name] = parsing.at("/plan", parse_name, value)
        else:
            members[name] = parsing.moment(value, f"/{name}")
    return members


def _webhook_command_id(webhook: ReceivedWebhook, key: str | None) -> str:
    """Raises Malformed for another key beside the webhook's own, which a sender repeats by itself."""
    if key is not None and key != webhook.id:
        detail = "the key of a webhook is its webhook-id: leave out any other"
        raise Malformed("malformed_request", detail, pointer="/request_id")
    return parsing.command_id("webhook", webhook.source, webhook.id)


async def serve(exchange: Exchange, door: FrontDoor) -> Reply:
    """One command in, one receipt out."""
    raw = await exchange.body(door.limits.body_bytes_max)
    parsed = command_of(raw, metadata_bytes_max=door.limits.metadata_bytes_max)
    members = strict_json.parse(raw)
    require_command(caller_of(exchange), MARKETPLACE, parsed.action)
    admit(exchange, parsed.tenant)
    key = parsing.one_key(parsing.idempotency_key(exchange.headers), parsed.key)
    submission = submission_of(
        exchange,
        tenant=parsed.tenant,
        command=parsed.command,
        id=_webhook_command_id(exchange.webhook, key) if exchange.webhook else own_command_id(exchange, door, key),
        source="marketplace",
        asked=parsing.asked(members, DEFAULTS),
        parts=parsed.parts,
    )
    return await reply_with(exchange, door, await decide(exchange, door, submission))
