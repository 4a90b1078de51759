"""
What the application asks of the world: Protocols only. Adapters match by shape; mypy checks it in wiring.

Each docstring is the promise that holds when the call returns; tests/contract holds every adapter to it.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from types import MappingProxyType
from typing import Final, Protocol

from msgspec import Struct

from tai_autonomics.domain.actions import Action
from tai_autonomics.domain.actions import Target as Target  # an actuator imports it from here
from tai_autonomics.ledger.records import (
    Append,
    Base,
    Dropped,
    Erased,
    Head,
    Leased,
    Ledger,
    Outcome,
    Part,
    Quarantined,
    Receipt,
    StoreBounds,
)


class Store(Protocol):
    """Where receipts rest. Raises StoreUnavailable when it cannot work; nothing else that a caller must handle."""

    @property
    def bounds(self) -> StoreBounds: ...

    @property
    def shared(self) -> bool:
        """Whether other instances may write the same ledgers."""
        ...

    async def read(self, tenant: str) -> Ledger | None:
        """
        The newest snapshot and every receipt after it, in order; None for a ledger that does not exist.

        Where the receipts after the snapshot are dropped, the base is the snapshot.
        """
        ...

    async def append(self, appends: Sequence[Append], tell: Callable[[Append, Outcome], None]) -> None:
        """
        Store each tenant's append, all of it or nothing, durable before its `Appended` is told.

        `tell` is called on the event loop, once an append, as soon as its outcome is known; no tenant's outcome
        depends on another's. Raises StoreUnavailable when nothing can be said of the appends not yet told: they may be
        stored or not, and the caller reads back. At most one append a tenant in one call.
        """
        ...

    def held(self, tenant: str) -> AbstractAsyncContextManager[None]:
        """
        Keep the tenant's place for this instance while it reads, decides and appends: the first append that is stored
        inside ends it.

        For fairness only, after lost races: nothing may rest on it. It waits a bounded time for its turn, and then
        goes on without. A no-op where one process writes. Raises StoreUnavailable on entering.
        """
        ...

    async def receipts(
        self, tenant: str, after: int, limit: int, *, type: str | None = None, subject: str | None = None
    ) -> tuple[Receipt, ...]:
        """
        Receipts with seq > after, in order, at most `limit`; `subject` is "kind/id" or a bare id.

        Of a ledger with a base they may begin later than asked for; from there on none is left out.
        """
        ...

    async def receipt(self, tenant: str, seq: int) -> Receipt | None: ...

    async def find(self, tenant: str, command_id: str) -> Receipt | None:
        """The receipt that claims the id."""
        ...

    async def tenants(self, after: str, limit: int) -> tuple[str, ...]:
        """Tenants with a ledger, in the order of their bytes, those greater than `after`."""
        ...

    async def heads(self, tenants: Sequence[str]) -> dict[str, Head]:
        """One batched read; a tenant without a ledger is absent."""
        ...

    async def action_receipts(self, tenant: str, after: int, limit: int) -> tuple[Receipt, ...]:
        """Receipts of what became of actions (`concerns_action`) with seq > after, in order, at most `limit`."""
        ...

    async def action_receipts_before(self, tenant: str, before: int, limit: int) -> tuple[Receipt, ...]:
        """The same with seq < before, the newest first."""
        ...

    async def with_due(self, kind: str, after: str, limit: int) -> tuple[str, ...]:
        """Tenants with a due row of the kind, each once, in the order of their bytes, those greater than `after`."""
        ...

    async def parts(self, tenant: str, first: int, last: int) -> tuple[Part, ...]:
        """The parts of receipts first..last that still exist, in order of (seq, name)."""
        ...

    async def bases(self, tenants: Sequence[str]) -> dict[str, Base]:
        """Where the ledgers begin; one that begins with its first receipt is absent."""
        ...

    async def cut(self, tenant: str, through: int) -> int:
        """
        The highest seq, at most `through`, up to which `drop` can go; 0 for none.

        It is less than `through` where the engine keeps several receipts in one piece.
        """
        ...

    async def rebase(self, tenant: str, base: Base) -> None:
        """
        The ledger begins after `base`, durable when it returns; one whose base is no earlier stays as it is.

        Its receipts up to there stay until they are dropped. Where the store has no such ledger, its head is the base:
        the first append goes on from there.
        """
        ...

    async def drop(self, tenant: str, limit: int) -> int:
        """
        Take away the first receipts that lie up to the base, about `limit`, and free the command ids that they claim.

        How many; 0 once none is left. Durable when it returns. Their parts stay, to be erased as ever.
        """
        ...

    async def dropped(self, tenant: str, seq: int) -> Dropped | None:
        """What is known of a dropped receipt; None where it had no parts, and for one that is still there."""
        ...

    async def erased(self) -> tuple[Erased, ...]:
        """Every part that an append took away, each once: all of them, for the list that is kept with backups."""
        ...

    async def lease(
        self, limit: int, seconds: float, now: str | None = None, *, kinds: Sequence[str] | None = None
    ) -> tuple[Leased, ...]:
        """
        Due rows whose time has come, the longest due first, each for this caller alone until its lease ends.

        `kinds` leaves rows of any other kind as they are, for somebody else; None: rows of every kind.
        `now` only where the engine has no clock. A row leased again and again waits longer each time (it doubles
        from `seconds` to at most 300 s), so that a failing one does not starve the rest. An engine with a clock goes
        by it alone, so that instances whose clocks are apart never hold the same row.
        """
        ...

    async def quarantine(self, message: Quarantined) -> bool:
        """Durable when it returns True; False when the quarantine is full. An id that is already held is kept once."""
        ...

    async def quarantined(self, after: str, limit: int) -> tuple[Quarantined, ...]:
        """Messages in the order of their ids, those greater than `after`."""
        ...

    async def quarantined_one(self, id: str) -> Quarantined | None: ...

    async def quarantine_size(self) -> int:
        """How many messages are held; not above the bound, where counting on would cost."""
        ...

    async def to_redrive(self, now: str, limit: int) -> tuple[Quarantined, ...]:
        """Messages whose `redrive_at` has come, the earliest first; it takes no lease on them."""
        ...

    async def put_off_quarantined(self, id: str, *, reason: str, redrives: int, redrive_at: str | None) -> None:
        """Durable when it returns; an id that is not held changes nothing."""
        ...

    async def release_quarantined(self, id: str) -> None: ...

    async def keep_policy(self, digest: str, text: bytes, time: str) -> None:
        """Durable when it returns; a digest that is already held changes nothing but its place as the newest."""
        ...

    async def policy(self, digest: str) -> bytes | None: ...

    async def newest_policy(self) -> tuple[str, bytes] | None: ...

    async def journal_clean(self) -> bool:
        """Whether everything erased so far is gone from the engine's journal too; tries to make it so."""
        ...

    async def probe(self) -> None:
        """A read and, where it costs nothing, a write check; raises StoreUnavailable."""
        ...

    async def now(self) -> datetime | None:
        """The engine's clock, or None where it has none of its own."""
        ...

    async def newest_time(self) -> str | None:
        """The time of the newest receipt of any tenant that a clock check can use, or None in an empty store."""
        ...

    async def aclose(self) -> None: ...


class Done(Struct, frozen=True, gc=False):
    """The target is as it should be, by this attempt or before it."""

    detail: str


class NotDone(Struct, frozen=True, gc=False):
    """
    Nothing was changed. `temporary`: a later attempt may be better, not before `retry_after_seconds` where the other
    side named one; the actuator bounds it.
    """

    detail: str
    temporary: bool
    retry_after_seconds: float | None = None


class Uncertain(Struct, frozen=True, gc=False):
    """It may have been done or not: the call was sent, and no answer says which."""

    detail: str


NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class Actuator(Protocol):
    """
    Does actions of one type to the outside world. Nothing that a caller must handle is raised but CancelledError.

    Texts named `detail` have at most 200 characters and no secret. A call that is cancelled leaves nothing running.
    """

    async def resolve(self, action: Action) -> Target | NotDone:
        """
        The absolute target; reads the outside world where the order is relative to it, and changes nothing.

        At most 4 KiB as JSON, so that a receipt can hold it.
        """
        ...

    async def attempt(
        self, action: Action, target: Target, seconds: float, trace: Mapping[str, str] = NO_HEADERS
    ) -> Done | NotDone | Uncertain:
        """
        Make the target true, once, within `seconds`; the action's id is the key under which a second attempt of an
        idempotent order does nothing more. It does not retry by itself.

        `trace` are the headers of W3C Trace Context, for a receiver that goes on with the trace.
        """
        ...

    async def aclose(self) -> None: ...


class Caller(Struct, frozen=True):
    """Who is calling: the token's subject, its roles, and the tenants it reaches (None: every tenant)."""

    subject: str
    roles: frozenset[str]
    tenants: frozenset[str] | None
    rated: bool = True
    """Whether it is held to a caller's rate. A push subscription is not: one push refused slows all that follow."""

    def reaches(self, tenant: str) -> bool:
        return self.tenants is None or tenant in self.tenants


class Verifier(Protocol):
    """Makes a Caller of a bearer token."""

    async def verify(self, token: str) -> Caller:
        """Raises Unauthenticated when the token is not good, KeysUnavailable when nobody can say now."""
        ...


class WebhookClaim(Struct, frozen=True, gc=False):
    """What a webhook's headers say of it. Nothing is verified but that it is of now."""

    id: bytes
    timestamp: bytes
    signatures: tuple[bytes, ...]


class ReceivedWebhook(Struct, frozen=True, gc=False):
    """A webhook whose signature is its source's; `id` is the same however often the source sends it."""

    caller: Caller
    source: str
    id: str


class WebhookVerifier(Protocol):
    """Makes a Caller of a signed body, in two steps: what the headers show to be wrong needs no body."""

    def claim(self, headers: Mapping[bytes, bytes]) -> WebhookClaim:
        """Raises Unauthenticated when a header is not there, not understood, or of another time."""
        ...

    def verify(self, claim: WebhookClaim, body: bytes) -> ReceivedWebhook:
        """`body` is as it was received. Raises Unauthenticated."""
        ...


class Scrape(Protocol):
    def __call__(self, accept: str) -> tuple[bytes, str]:
        """The metrics of this process in the format that `accept` asks for, and its content type."""
        ...


class Answered(Struct, frozen=True, gc=False):
    """
    One request, at the rim, as logs and metrics tell of it. `route` is the template, never the path.

    `tenant` is "*" for a list over tenants: those that the caller reaches.
    """

    method: str
    route: str
    status: int
    seconds: float
    bytes_in: int
    bytes_out: int
    request_id: str
    remote: str
    trace: str = ""
    caller: str = ""
    tenant: str = ""
    command_id: str = ""
    receipt: str = ""
    reason: str = ""
    span: str = ""
    """Of a request that is recorded in its trace: its span's id."""


class Clock(Protocol):
    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...


class Entropy(Protocol):
    def bytes(self, count: int) -> bytes:
        """Unpredictable bytes."""
        ...

    def ulid(self) -> str:
        """A new ULID."""
        ...


class Observer(Protocol):
    """What happened, one method a countable event. Must not block and must not raise."""

    def answered(self, request: Answered) -> None:
        """A response is complete."""
        ...

    def decided(self, command: str, outcome: str, reason: str) -> None:
        """A decision is durable: `outcome` is the receipt's type, or replayed; `reason` is a refusal's, or ""."""
        ...

    def appended(self, receipts: int, tenants: int, seconds: float) -> None:
        """One store append ended."""
        ...

    def sealed(self, type: str) -> None: ...

    def conflicted(self) -> None: ...

    def duplicated(self, count: int) -> None: ...

    def store_failed(self, verb: str) -> None: ...

    def probed(self, check: str, trouble: str) -> None:
        """A health check ended; `trouble` is what is wrong, in full, or ""."""
        ...

    def loaded(self, receipts: int, seconds: float) -> None:
        """A cold lane was read and folded."""
        ...

    def went_back(self, tenant: str) -> None:
        """A store's head is behind what this instance saw durable: the alert ledger_went_back."""
        ...

    def gate_asked(self, gate: str, seconds: float) -> None:
        """A gate of one decision in sixteen has answered."""
        ...

    def signals_refused(self, reason: str, count: int) -> None:
        """Signals are gone: a durable receipt refuses them, or what met their tenant left them without one."""
        ...

    def attempted(self, type: str, outcome: str, seconds: float) -> None:
        """One attempt of an action ended, or none could be made; `type` is the action's."""
        ...

    def settled(self, type: str, result: str, receipt: Receipt) -> None:
        """An action of the type ended so, by this durable receipt of ours."""
        ...

    def pushed(self, outcome: str, age_seconds: float | None) -> None:
        """
        What became of a delivery of POST /pubsub; of one that was decided, how long after it was published, where it
        says when.
        """
        ...

    def failed(self, what: str, error: BaseException) -> None:
        """An error that nobody waits for; the one place where a background task's exception goes."""
        ...


class SpanContext(Struct, frozen=True, gc=False):
    """
    Where a span stands in its trace (W3C Trace Context, sections 3.2 and 3.3): ids in hex digits, `state` as it came.

    `span` is "" where the trace alone is known, `sampled` None where nobody has said whether it is recorded.
    """

    trace: str
    span: str
    sampled: bool | None
    state: str = ""


class Span(Protocol):
    """Work under way that is recorded. Nothing here blocks or raises, and after its end nothing changes it."""

    @property
    def context(self) -> SpanContext: ...

    def decided(self, command: str, receipt: Receipt, seconds: float, *, leads_on: bool) -> None:
        """
        A decision was made within it, in the `seconds` up to now: a span of its own, whose id the receipt's hash begins
        with. `leads_on`: something is due because of it.
        """
        ...

    def call(self, name: str) -> "Span | None":
        """What is asked of another service within it; None where that could not be recorded."""
        ...

    def end(self, problem: str = "", **facts: str | int) -> None:
        """It is over; with a problem, it failed. A fact that is "" is left out."""
        ...


class Tracer(Protocol):
    """Records the spans of traces that are sampled; of any other, none is built. Nothing here blocks or raises."""

    def request(self, name: str, caller: SpanContext | None, seconds: float) -> Span | None:
        """A request that began so many seconds ago, by what its caller says of its own span."""
        ...

    def append(self, carried: Sequence[Span], receipts: int) -> Span | None:
        """An append, a trace of its own: linked to what it carries, and each of these to it."""
        ...

    def decision(self, trace: str, receipt: Receipt) -> SpanContext:
        """The span of the decision that a receipt with the trace seals."""
        ...

    def attempt(self, requested_by: SpanContext, name: str, **facts: str | int) -> Span | None:
        """An attempt of an action, within the decision that asked for it."""
        ...
