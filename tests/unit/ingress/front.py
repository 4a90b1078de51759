"""A front door over a corridor and queries of memory, and a caller that speaks raw ASGI to it."""

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import asdict
from tests.roles import EVERY

from tai_autonomics.application.actions import ActionShown, ActionView, GovernorView, Happened, State
from tai_autonomics.application.codec import events_to_json
from tai_autonomics.application.compliance import ComplianceView, ControlView, HoldView
from tai_autonomics.application.corridor import Answer, Submission
from tai_autonomics.application.ports import Answered, Caller, Tracer, Verifier
from tai_autonomics.application.queries import (
    ActionsPage,
    AsOf,
    CheckAnswer,
    Committed,
    EntitlementView,
    InFlightPage,
    QuotaView,
    Shown,
    TenantListed,
    TenantView,
    ThrottleView,
)
from tai_autonomics.domain.actions import Webhook
from tai_autonomics.domain.entitlement import EntitlementVerified
from tai_autonomics.domain.gates import Failed, Passed
from tai_autonomics.domain.governor import (
    ActionApproved,
    ApprovalWanted,
    Observe,
    SignalObserved,
    SignalRefused,
    Stage,
    text_of,
)
from tai_autonomics.domain.identifiers import ActionId
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.tenant import Check, CheckResult, Command, Event, Limit, name_of
from tai_autonomics.errors import IdempotencyKeyReused, Unauthenticated
from tai_autonomics.identity.webhooks import Sender, SignedWebhooks
from tai_autonomics.ingress.app import build
from tai_autonomics.ingress.front_door import Drain, FrontDoor, Limits
from tai_autonomics.ingress.turns import Turns
from tai_autonomics.ledger.commitment import commit
from tai_autonomics.ledger.receipt import seal
from tai_autonomics.ledger.records import GENESIS, Erased, Part, Quarantined, Receipt

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
MOMENT = Moment("2026-11-24T12:00:00.000000Z")
POLICY = "a" * 64
TOKENS: Mapping[str, Caller] = {
    **{role: Caller(role, frozenset({role}), None) for role in EVERY},
    "nobody": Caller("nobody", frozenset(), None),
    "acme": Caller("acme-bot", frozenset({"integration", "viewer"}), frozenset({"acme"})),
    "other": Caller("other-bot", frozenset({"integration", "viewer"}), frozenset({"other"})),
}

WAITING = ActionView(
    action_id="01JD0000000000000000000000-7-0123456789ab",
    tenant_id="acme",
    rule="cpu-high",
    type="webhook",
    state="awaiting_approval",
    requested_at=MOMENT,
    metric="cpu_utilization",
    value="91.5",
    attempts=0,
    attempts_max=3,
    timeout_seconds=10,
    order=Webhook("https://hooks.example/scale"),
    approval=ApprovalWanted(2, MOMENT),
    approved_by=("ann",),
)


class FixedClock:
    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.wall = NOW

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds


class FixedEntropy:
    def __init__(self) -> None:
        self.made = 0

    def bytes(self, count: int) -> bytes:
        return b"\x01" * count

    def ulid(self) -> str:
        self.made += 1
        return f"01JD{self.made:022d}"


class TokenTable:
    """Tokens are the names of TOKENS."""

    async def verify(self, token: str) -> Caller:
        if token == "old":
            raise Unauthenticated("token_expired", "the token has expired")
        if token not in TOKENS:
            raise Unauthenticated("signature_invalid", "the signature does not verify")
        return TOKENS[token]


class Submitted:
    """A command that MemoryCorridor has taken."""

    def __init__(self, task: asyncio.Task[Answer]) -> None:
        self._task = task

    async def answer(self) -> Answer:
        return await self._task

    def leave(self) -> None:
        self._task.cancel()


class MemoryCorridor:
    """Seals whatever comes, one ledger a tenant; `refuse_with` and `raise_with` say otherwise for a tenant."""

    def __init__(self) -> None:
        self.ledgers: dict[str, list[Receipt]] = {}
        self.parts: dict[tuple[str, int], list[Part]] = {}
        self.submissions: list[Submission] = []
        self.refuse_with: dict[str, dict[str, Any]] = {}
        self.raise_with: dict[str, BaseException] = {}
        self.hold: asyncio.Event | None = None
        self.waiting = 0

    async def submit(self, submission: Submission, *, timeout_seconds: float) -> Answer:
        assert timeout_seconds > 0
        self.submissions.append(submission)
        if self.hold is not None:
            self.waiting += 1
            await self.hold.wait()
        if submission.tenant in self.raise_with:
            raise self.raise_with[submission.tenant]
        ledger = self.ledgers.setdefault(submission.tenant, [])
        for receipt in ledger:
            if receipt.command_id == submission.command_id:
                if json.loads(receipt.body)["cause"]["request"] != submission.request:
                    raise IdempotencyKeyReused("this key belongs to another request")
                return Answer(receipt, replayed=True)
        receipt = self._sealed(submission, ledger)
        ledger.append(receipt)
        return Answer(receipt, replayed=False)

    def enter(self, submission: Submission, *, timeout_seconds: float) -> "Submitted":
        return Submitted(
            asyncio.get_running_loop().create_task(self.submit(submission, timeout_seconds=timeout_seconds))
        )

    def _sealed(self, submission: Submission, ledger: list[Receipt]) -> Receipt:
        seq = len(ledger) + 1
        parts = [Part(seq, name, b"\x02" * 32, text) for name, text in submission.parts]
        self.parts[(submission.tenant, seq)] = parts
        refusal = self.refuse_with.get(submission.tenant)
        evidence = (refusal or {}).get("evidence", {"state": "none"})
        gates = [
            {
                "gate": refusal.get("gate", "quota_is_available") if refusal else "entitlement_is_in_service",
                "passed": refusal is None,
                "evidence": evidence,
            }
        ]
        return seal(
            tenant=submission.tenant,
            ledger="01JD0000000000000000000000",
            seq=seq,
            prev=ledger[-1].hash if ledger else GENESIS,
            time=MOMENT,
            type="refusal" if refusal else "transition",
            subject=("entitlement", "ent_1"),
            cause={
                "kind": submission.source,
                "id": submission.command_id,
                "by": submission.by,
                "request": submission.request,
            },
            decision={"gates": gates},
            events=[] if refusal else events_to_json(_events_of(submission.command)),
            refusal=None
            if refusal is None
            else {
                "reason": refusal["reason"],
                "detail": f"{name_of(submission.command)} is refused",
                "next_step": "do something else",
            },
            policy=POLICY,
            trace=submission.trace,
            commits={part.name: commit(part.salt, part.text) for part in parts},
            command_id=submission.command_id,
            claims=True,
        )


def _events_of(command: Command) -> tuple[Event, ...]:
    """No rule names the metric `unnamed`."""
    if not isinstance(command, Observe):
        return (EntitlementVerified("ent_1", "professional"),)
    return tuple(
        SignalRefused(each.metric, text_of(each.value), "unknown_metric")
        if each.metric == "unnamed"
        else SignalObserved(each.metric, text_of(each.value), MOMENT, 1)
        for each in command.signals
    )


class MemoryQueries:
    def __init__(self, corridor: MemoryCorridor) -> None:
        self.corridor = corridor
        self.checks: list[tuple[str, tuple[Check, ...]]] = []
        self.asked: list[tuple[object, ...]] = []
        self.archived: dict[tuple[str, int], Committed] = {}
        self.raise_with: BaseException | None = None
        self.hold: asyncio.Event | None = None
        self.allowed = True
        self.throttle: ThrottleView | None = None
        self.gate: Passed | Failed = Passed(
            "entitlement_is_in_service", {"entitlements_in_service": 1, "plan": "professional"}
        )

    async def check(self, tenant: str, checks: tuple[Check, ...]) -> CheckAnswer:
        self.checks.append((tenant, checks))
        if self.hold is not None:
            await self.hold.wait()
        if self.raise_with is not None:
            raise self.raise_with
        limits = {"api_calls": Limit(100, 3, 97, Moment("2026-11-25T00:00:00.000000Z")), "seats": Limit(None, 1, None)}
        reason = None if self.allowed else "entitlement_inactive"
        result = CheckResult(self.allowed, reason, limits, (self.gate,))
        return CheckAnswer(tuple(result for _ in checks), 7, MOMENT, self.throttle)

    async def tenant(self, tenant: str) -> TenantView | None:
        if tenant not in self.corridor.ledgers:
            return None
        quota = QuotaView("api_calls", 3, 100, 97, "day", "hard", MOMENT)
        entitlement = EntitlementView(entitlement_id="ent_1", status="active", plan="professional")
        governor = GovernorView("intervening", (), (), 0, since=MOMENT)
        hold = HoldView("01JD0000000000000000000000-2-0123456789ab", "erasure", "urn:case:1", "olga", MOMENT)
        control = ControlView("dpa_signed", "missing", required=True)
        compliance = ComplianceView(("service", "actions", "erasure"), (hold,), (control,))
        return TenantView(
            tenant, "professional", (entitlement,), (quota,), compliance, governor, AsOf(1, MOMENT), WAITING
        )

    async def actions(self, tenant: str, before: int | None, limit: int, state: State | None) -> ActionsPage | None:
        self.asked.append((tenant, before, limit, state))
        if tenant not in self.corridor.ledgers:
            return None
        return ActionsPage((WAITING,), 41) if before is None else ActionsPage((), None)

    async def action(self, tenant: str, action_id: str) -> ActionShown | None:
        if action_id != WAITING.action_id or tenant not in self.corridor.ledgers:
            return None
        approved = ActionApproved(ActionId(action_id), "ann", 1, 2, MOMENT)
        return ActionShown(**asdict(WAITING), history=(Happened(8, MOMENT, "ann", approved),))

    async def actions_in_flight(self, caller: Caller, after: str, limit: int, stage: Stage | None) -> InFlightPage:
        self.asked.append((caller.subject, after, limit, stage))
        return InFlightPage((), None, ("beta",)) if after else InFlightPage((WAITING,), "acme")

    async def tenants(self, caller: Caller, after: str, limit: int) -> tuple[TenantListed, ...]:
        named = sorted(each for each in self.corridor.ledgers if each > after and caller.reaches(each))
        return tuple(TenantListed(each, 1, "b" * 64, MOMENT) for each in named[:limit])

    async def receipts(
        self, tenant: str, after: int, limit: int, type: str | None, subject: str | None
    ) -> tuple[Shown, ...]:
        found = [
            each
            for each in self.corridor.ledgers.get(tenant, [])
            if each.seq > after and type in (None, each.type) and subject in (None, each.subject_id)
        ]
        return tuple(self._shown(each) for each in found[:limit])

    async def receipt(self, tenant: str, seq: int) -> Shown | None:
        ledger = self.corridor.ledgers.get(tenant, [])
        return self._shown(ledger[seq - 1]) if seq <= len(ledger) else None

    async def committed(self, tenant: str, seq: int) -> Committed | None:
        if (tenant, seq) in self.archived:
            return self.archived[tenant, seq]
        found = await self.receipt(tenant, seq)
        if found is None:
            return None
        receipt = found.receipt
        return Committed(receipt.hash, tuple(json.loads(receipt.body).get("commits", ())), Moment(receipt.time))

    async def head(self, tenant: str) -> Shown | None:
        ledger = self.corridor.ledgers.get(tenant, [])
        return self._shown(ledger[-1]) if ledger else None

    async def policy(self, digest: str) -> bytes | None:
        return b"plans: {}\n" if digest == POLICY else None

    def _shown(self, receipt: Receipt) -> Shown:
        return Shown(receipt, tuple(self.corridor.parts.get((receipt.tenant, receipt.seq), ())))


class Ear:
    """The Observer that these tests look at."""

    def __init__(self) -> None:
        self.requests: list[Answered] = []
        self.failures: list[tuple[str, BaseException]] = []
        self.refused: list[tuple[str, int]] = []
        self.pushes: list[tuple[str, float | None]] = []

    def answered(self, request: Answered) -> None:
        self.requests.append(request)

    def signals_refused(self, reason: str, count: int) -> None:
        self.refused.append((reason, count))

    def pushed(self, outcome: str, age_seconds: float | None) -> None:
        self.pushes.append((outcome, age_seconds))

    def failed(self, what: str, error: BaseException) -> None:
        self.failures.append((what, error))

    def __getattr__(self, name: str) -> Callable[..., None]:
        raise AssertionError(f"the front door told {name}")


class Response:
    """What came back, whole."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status, self.body = status, body
        self.headers = {name.decode(): value.decode() for name, value in headers}

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        return str(self.json["reason"])


class House:
    """The front door and everything behind it."""

    def __init__(
        self,
        webhooks: Mapping[str, Sender] | None = None,
        push_verifier: Verifier | None = None,
        tracer: Tracer | None = None,
        **limits: Any,
    ) -> None:
        self.corridor = MemoryCorridor()
        self.queries = MemoryQueries(self.corridor)
        self.ear, self.clock, self.drain = Ear(), FixedClock(), Drain()
        self.quarantined: list[Quarantined] = []
        self.quarantine_full = False
        self.journal = True
        self.noted: list[Erased] = []
        self.checks = {"store": "ok", "clock": "ok"}
        self.retired_plans: tuple[str, ...] = ()
        self.door = FrontDoor(
            corridor=self.corridor,
            queries=self.queries,
            verifier=TokenTable(),
            push_verifier=push_verifier,
            webhooks=webhooks and SignedWebhooks(webhooks, self.clock, tolerance_seconds=300),
            quarantine=self._quarantine,
            journal_clean=self._journal_clean,
            note_erased=self._note_erased,
            retired_plans=lambda: self.retired_plans,
            health=lambda: self.checks,
            scrape=lambda accept: (b"tai_up 1\n", "application/openmetrics-text" if accept else "text/plain"),
            observer=self.ear,
            tracer=tracer,
            clock=self.clock,
            entropy=FixedEntropy(),
            version="1.2.3",
            limits=Limits(**limits),
            drain=self.drain,
            turns=Turns(),
        )
        self.app = build(self.door)

    async def _quarantine(self, message: Quarantined) -> bool:
        if not self.quarantine_full:
            self.quarantined.append(message)
        return not self.quarantine_full

    async def _note_erased(self, erased: Erased) -> None:
        self.noted.append(erased)

    async def _journal_clean(self) -> bool:
        return self.journal

    def get(self, path: str, **given: Any) -> Response:
        return self.call("GET", path, **given)

    def post(self, path: str, body: Any = None, **given: Any) -> Response:
        return self.call("POST", path, body, **given)

    def call(self, method: str, path: str, body: Any = None, **given: Any) -> Response:
        return asyncio.run(self.acall(method, path, body, **given))

    async def acall(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = "admin",
        headers: Mapping[str, str] | None = None,
        pairs: tuple[tuple[bytes, bytes], ...] = (),
        chunks: tuple[bytes, ...] | None = None,
        silent: bool = False,
        hang_up: bool = False,
        meanwhile: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> Response:
        """
        `silent` stops sending in the middle of the body; `hang_up` is gone by then. `meanwhile` happens before the
        body's last piece arrives.
        """
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        path, _, query = path.partition("?")
        sent = [*(chunks or (raw,))]
        found = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
        if method == "POST":
            found.append((b"content-type", b"application/json"))
            length = (b"content-length", str(len(raw)).encode())
            found.append(length if chunks is None else (b"transfer-encoding", b"chunked"))
        named = {name.lower().encode(): value.encode("latin-1") for name, value in (headers or {}).items()}
        found = [*((name, value) for name, value in found if name not in named), *named.items(), *pairs]

        async def receive() -> dict[str, Any]:
            if len(sent) == 1 and meanwhile is not None:
                await asyncio.create_task(meanwhile())
            if sent:
                chunk = sent.pop(0)
                return {"type": "http.request", "body": chunk, "more_body": bool(sent) or silent or hang_up}
            if silent:
                await asyncio.Event().wait()
            return {"type": "http.disconnect"}

        answer: dict[str, Any] = {"body": b""}

        async def send(message: Mapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.update(status=message["status"], headers=message["headers"])
            else:
                answer["body"] += message["body"]

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": found,
            "client": ("127.0.0.1", 5),
        }
        await self.app(scope, receive, send)
        return Response(answer.get("status", 0), answer.get("headers", []), answer["body"])


GRANT = {"tenant_id": "acme", "entitlement_id": "ent_1", "action": "grant", "plan": "professional"}
VERIFY = {"tenant_id": "acme", "entitlement_id": "ent_1"}


def envelope(payload: Any, **more: Any) -> dict[str, Any]:
    """A push envelope around a payload: bytes as they are, anything else as JSON."""
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    message = {"data": base64.b64encode(raw).decode(), "messageId": "17", "publishTime": "2026-11-24T12:00:00Z"}
    return {"message": message, "subscription": "projects/p/subscriptions/s", **more}
