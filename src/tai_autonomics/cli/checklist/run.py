"""One run of the checklist: its calls, the tenants that it makes, and what its lines learn of the service."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import typer
from msgspec import Struct

from tai_autonomics.cli.checklist.asking import Asking
from tai_autonomics.cli.checklist.quantiles import Latencies
from tai_autonomics.cli.served import is_loopback
from tai_autonomics.domain.plans import Plan, Quota, offered
from tai_autonomics.errors import InvalidPlans, StoreUnavailable
from tai_autonomics.policy.file import load as load_plans
from tai_autonomics.telemetry.scrapes import Scrape

PREFIX: Final = "checklist-"
LOAD_TENANTS: Final = 10
ENTITLEMENT: Final = "checklist"
WINDOWS: Final = ("lifetime", "month", "day", "hour", "minute")
"""The longest first: a window that ends between two calls would give its quota back."""


class Wanted(Struct, frozen=True):
    """What the options say."""

    url: str
    load_seconds: int = 0
    rate: int = 120
    network_seconds: float | None = None
    plan: str | None = None
    tenant_token: str | None = None
    deployed_by: str | None = None
    google: "Google | None" = None


class Google(Struct, frozen=True):
    """Where the service is deployed, and an access token that may look at it."""

    project: str
    region: str
    service: str
    database: str
    token: str


class Names(Struct, frozen=True):
    """The tenants of this run; no other is touched."""

    stem: str

    @property
    def first(self) -> str:
        return f"{self.stem}-first"

    @property
    def second(self) -> str:
        return f"{self.stem}-second"

    @property
    def pushed(self) -> str:
        return f"{self.stem}-pushed"

    @property
    def metered(self) -> str:
        return f"{self.stem}-metered"

    @property
    def loaded(self) -> tuple[str, ...]:
        return tuple(f"{self.stem}-load-{number}" for number in range(LOAD_TENANTS))


class Measured(Struct, frozen=True):
    """What a load gave."""

    asked: int
    seconds: float
    errors: dict[str, int]
    """By what came in place of the answer that was due."""
    commands: Latencies
    checks: Latencies
    before: Scrape | None
    after: Scrape | None

    @property
    def answered(self) -> int:
        return self.asked - sum(self.errors.values())


class Run:
    def __init__(self, asking: Asking, wanted: Wanted, *, now: datetime, chance: bytes) -> None:
        self.ask = asking
        self.wanted = wanted
        self.began_at = now
        self.chance = chance
        self.names = Names(f"{PREFIX}{now.astimezone(UTC):%Y%m%dt%H%M%S}-{chance[:4].hex()}")
        self.plan: Plan | None = None
        self.unplanned = ""
        """Why there is no plan."""
        self.version = ""
        self.measured: Measured | None = None
        self.scrape: Scrape | None = None
        self.entitled: list[str] = []
        """Tenants that hold an entitlement now."""
        self.used: str | None = None
        """The quota of the metered tenant that was used up."""

    @property
    def is_near(self) -> bool:
        """Whether what is measured here, less a known share of the network's, is the service's."""
        return self.wanted.network_seconds is not None or is_loopback(urlsplit(self.wanted.url).hostname or "")

    @property
    def trace(self) -> str:
        """The trace id of the one call that is traced."""
        return self.chance[4:20].hex()

    @property
    def span(self) -> str:
        return self.chance[20:28].hex()

    @property
    def tenants(self) -> tuple[str, ...]:
        """Those that have a ledger by now."""
        return tuple(sorted({each.tenant for each in self.ask.sealed}))

    @property
    def granted_plan(self) -> Plan:
        """Raises StoreUnavailable where none is known."""
        if self.plan is None:
            raise StoreUnavailable(self.unplanned)
        return self.plan

    @property
    def quota(self) -> Quota | None:
        """The hard quota of the plan that is used up first and given back last."""
        quotas = [each for each in self.granted_plan.quotas.values() if each.kind == "hard" and each.limit]
        return min(quotas, key=lambda each: (WINDOWS.index(each.per), each.limit or 0), default=None)

    async def prepare(self) -> None:
        """
        Whether the token serves, and which plan can be granted: of the one that is in force, not of this program.

        Raises BadParameter for a token that cannot carry out the checklist, StoreUnavailable where nothing answers.
        """
        answer = await self.ask.post("/marketplace", self.verify(self.names.first), good=False)
        if answer.status == 401:
            raise typer.BadParameter(f"the service does not take the token: {answer.members.get('detail', '')}")
        if answer.reason in ("role_forbidden", "tenant_forbidden"):
            raise typer.BadParameter(
                f"the token does not reach {PREFIX}…: {answer.members.get('detail', '')}; it needs the role admin, or"
                " integration and operator, for all tenants"
            )
        self.plan = await self._plan()

    async def _plan(self) -> Plan | None:
        head = await self.ask.get(f"/v1/tenants/{self.names.first}/receipts/head")
        match head.members:
            case {"receipt": {"policy": str(digest)}}:
                pass
            case _:
                self.unplanned = f"{head.call} answered {head.status}, so the plans in force are not known"
                return None
        policy = await self.ask.get(f"/v1/policies/{digest}")
        if policy.status != 200:
            self.unplanned = f"{policy.call} answered {policy.status}, so the plans in force are not known"
            return None
        try:
            plans = load_plans(policy.content, name="the plans in force")
        except InvalidPlans as error:
            self.unplanned = error.problems[0]
            return None
        named = [each for each in offered(plans) if self.wanted.plan in (None, each.name)]
        if self.wanted.plan is not None and not named:
            raise typer.BadParameter(f"--plan {self.wanted.plan}: the service offers no such plan")
        free = [each for each in named if not each.requires]
        if not free:
            self.unplanned = "every plan requires controls that are attested: name one that does not with --plan"
            return None
        return max(free, key=lambda each: any(quota.kind == "hard" and quota.limit for quota in each.quotas.values()))

    def verify(self, tenant: str, entitlement: str = ENTITLEMENT) -> dict[str, Any]:
        return {"tenant_id": tenant, "entitlement_id": entitlement}

    def grant(self, tenant: str, entitlement: str = ENTITLEMENT) -> dict[str, Any]:
        return {**self.verify(tenant, entitlement), "action": "grant", "plan": self.granted_plan.name}

    async def leave(self) -> list[str]:
        """Give back what was used and end every entitlement; the receipts stay. What could not be left so."""
        try:
            return await self._left()
        except StoreUnavailable as error:
            return [f"tenants {self.names.stem}-…: {error}"]

    async def _left(self) -> list[str]:
        left = []
        if self.used is not None:
            answer = await self.ask.post(
                f"/v1/tenants/{self.names.metered}/quotas/{self.used}/reset",
                {"reason": "checklist"},
                key=self.key("reset"),
            )
            if answer.status != 200:
                left.append(f"{self.names.metered}: {self.used} is still used up ({answer.status})")
        for tenant in self.entitled:
            body = {**self.verify(tenant), "action": "revoke", "reason": "the checklist is done"}
            answer = await self.ask.post("/marketplace", body, key=self.key(f"revoke-{tenant}"))
            if answer.status != 200:
                left.append(f"{tenant}: its entitlement is still in service ({answer.status})")
        return left

    def key(self, what: str) -> str:
        """An idempotency key that no other run has."""
        return f"{self.names.stem}-{what}"


def claims_of(token: str) -> dict[str, Any]:
    """What a JWT says of itself, unverified: whether it is so, the service decides. Raises BadParameter."""
    try:
        middle = token.split(".")[1]
        claims = msgspec.json.decode(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)), type=dict[str, Any])
    except (IndexError, ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise typer.BadParameter("the tenant's token is not a JWT") from error
    return claims
