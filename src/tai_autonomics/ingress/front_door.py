"""What the front door needs from the rest of the house, and the bounds it keeps."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from msgspec import Struct

from tai_autonomics.application.actions import ActionShown, State
from tai_autonomics.application.corridor import Answer, Submission
from tai_autonomics.application.ports import (
    Caller,
    Clock,
    Entropy,
    Observer,
    Scrape,
    Tracer,
    Verifier,
    WebhookVerifier,
)
from tai_autonomics.application.queries import (
    ActionsPage,
    CheckAnswer,
    Committed,
    InFlightPage,
    Shown,
    TenantListed,
    TenantView,
)
from tai_autonomics.domain.governor import Stage
from tai_autonomics.domain.tenant import Check
from tai_autonomics.ingress.turns import Turns
from tai_autonomics.ledger.records import Erased, Quarantined


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds of the front door. Each is met with a 4xx before anything is decided."""

    body_bytes_max: int = 256 * 1024
    push_body_bytes_max: int = 14 * 1024 * 1024
    push_payload_bytes_max: int = 256 * 1024
    """A larger payload is quarantined."""
    items_max: int = 1_000
    metadata_bytes_max: int = 8 * 1024
    request_seconds: float = 10.0
    requests_at_once_max: int = 1_000
    tenant_rate_per_second: int = 5_000
    """What one tenant may ask of this instance; an item of a list counts as one."""
    caller_rate_per_second: int = 50_000
    """The same of one caller, in the long run."""
    caller_burst: int = 50_000
    """What a caller that was quiet may ask at once."""
    new_ledgers_per_minute_max: int = 10_000
    """What one caller may begin; the corridor counts them, and a 429 says this."""
    reply_bytes_max: int = 8 * 1024 * 1024
    """A page of receipts ends early at this size."""


class Drain:
    """Whether the process is stopping. Set once, at the first signal."""

    begun: bool = False

    def begin(self) -> None:
        """May be called again."""
        self.begun = True


class Entered(Protocol):
    """A command on its way to its decision."""

    async def answer(self) -> Answer: ...

    def leave(self) -> None: ...


class Corridor(Protocol):
    """The write path."""

    async def submit(self, submission: Submission, *, timeout_seconds: float) -> Answer: ...

    def enter(self, submission: Submission, *, timeout_seconds: float) -> Entered: ...


class Queries(Protocol):
    """What the API shows."""

    async def check(self, tenant: str, checks: tuple[Check, ...]) -> CheckAnswer: ...

    async def tenant(self, tenant: str) -> TenantView | None: ...

    async def tenants(self, caller: Caller, after: str, limit: int) -> tuple[TenantListed, ...]: ...

    async def receipts(
        self, tenant: str, after: int, limit: int, type: str | None, subject: str | None
    ) -> tuple[Shown, ...]: ...

    async def receipt(self, tenant: str, seq: int) -> Shown | None: ...

    async def committed(self, tenant: str, seq: int) -> Committed | None: ...

    async def head(self, tenant: str) -> Shown | None: ...

    async def actions(self, tenant: str, before: int | None, limit: int, state: State | None) -> ActionsPage | None: ...

    async def action(self, tenant: str, action_id: str) -> ActionShown | None: ...

    async def actions_in_flight(self, caller: Caller, after: str, limit: int, stage: Stage | None) -> InFlightPage: ...

    async def policy(self, digest: str) -> bytes | None: ...


class FrontDoor(Struct, frozen=True, kw_only=True):
    """Everything that a request can reach."""

    corridor: Corridor
    queries: Queries
    verifier: Verifier
    push_verifier: Verifier | None = None
    """Takes Google's tokens of the push subscription too, on POST /pubsub; None where no subscription is known."""
    webhooks: WebhookVerifier | None = None
    """None where no source of signed webhooks is known."""
    quarantine: Callable[[Quarantined], Awaitable[bool]]
    """Durable when it answers True; False when the quarantine is full."""
    journal_clean: Callable[[], Awaitable[bool]]
    """Whether everything erased so far is gone from the store's journal too."""
    note_erased: Callable[[Erased], Awaitable[None]]
    """Onto the list that is kept with the backups, where there is one. Raises nothing."""
    retired_plans: Callable[[], tuple[str, ...]]
    """Names of the plans in force that can no longer be granted."""
    health: Callable[[], Mapping[str, str]]
    """The cached result of each configured check: "ok", or what is wrong. Does no I/O."""
    scrape: Scrape
    observer: Observer
    tracer: Tracer | None = None
    """None where traces are not kept."""
    clock: Clock
    entropy: Entropy
    version: str
    limits: Limits
    drain: Drain
    turns: Turns
