"""What a tenant's ledger should say, worked out plainly, one receipt after the other, without the domain's code."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.unit.application.instance import digest_of

from tai_autonomics.domain.entitlement import Grant, Resume, Revoke, Suspend, Verify
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.quota import Consume, Release, Reset
from tai_autonomics.domain.tenant import Command
from tai_autonomics.ledger.records import Receipt

LIMIT = 100
"""Of api_calls on the professional plan, hard, a day."""


class Tenant:
    """Entitlements by status, when they expire, and what is used."""

    def __init__(self) -> None:
        self.status: dict[str, str] = {}
        self.expires: dict[str, Moment] = {}
        self.used = 0

    @property
    def in_service(self) -> bool:
        return "active" in self.status.values()

    def answer(self, command: Command, now: Moment) -> str:
        """Apply it; the reason of a refusal, or ""."""
        match command:
            case Consume(amount=amount):
                return self._consume(amount)
            case Release(amount=amount):
                return self._release(amount)
            case Reset():
                if not self.in_service and not self.used:
                    return "unknown_quota"
                self.used = 0
                return ""
            case Verify(entitlement_id=id):
                return "" if self.status.get(id) == "active" else "entitlement_inactive"
            case Grant(entitlement_id=id, expires_at=expires_at):
                if id in self.status:
                    return "invalid_transition"
                if expires_at is not None and expires_at <= now:
                    return "invalid_time"
                self.status[id] = "active"
                if expires_at is not None:
                    self.expires[id] = expires_at
                return ""
            case Suspend(entitlement_id=id):
                return self._move(id, ("active",), "suspended")
            case Resume(entitlement_id=id):
                return self._move(id, ("suspended",), "active")
            case Revoke(entitlement_id=id):
                return self._move(id, ("active", "suspended"), "revoked")
            case _:
                raise AssertionError(command)

    def expire(self, id: str) -> None:
        self._move(id, ("active", "suspended"), "expired")

    def _move(self, id: str, among: tuple[str, ...], to: str) -> str:
        if self.status.get(id) not in among:
            return "invalid_transition"
        self.status[id] = to
        if to in ("revoked", "expired"):
            self.expires.pop(id, None)
        return ""

    def _consume(self, amount: int) -> str:
        if not self.in_service:
            return "entitlement_inactive"
        if self.used + amount > LIMIT:
            return "quota_exceeded"
        self.used += amount
        return ""

    def _release(self, amount: int) -> str:
        if not self.in_service and not self.used:
            return "unknown_quota"
        if amount > self.used:
            return "release_exceeds_use"
        self.used -= amount
        return ""


def check(receipts: Sequence[Receipt], commands: Mapping[str, Sequence[Command]]) -> Tenant:
    """Every decision of a ledger is the model's; `commands` are those that were sent under each id, any of them."""
    tenant = Tenant()
    for receipt in receipts:
        body = json.loads(receipt.body)
        due = sorted((moment, name) for name, moment in tenant.expires.items() if moment <= receipt.time)
        if receipt.command_id.startswith("timer:"):
            assert receipt.command_id == f"timer:entitlement/{due[0][1]}:expire:{due[0][0]}"
            tenant.expire(due[0][1])
            continue
        assert not due, "a command was decided before a timer that was due"
        asked = [each for each in commands[receipt.command_id] if _is_of(each, body)]
        assert asked, f"nobody sent {receipt.body!r}"
        assert tenant.answer(asked[0], receipt.time) == body.get("refusal", {}).get("reason", ""), receipt.body
    return tenant


def _is_of(command: Command, body: dict[str, Any]) -> bool:
    return bool(digest_of(command) == body["cause"]["request"])
