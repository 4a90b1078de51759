"""
Valid ledgers of many tenants without a service: each begins with a grant of ent_1, and everything after is a verify.

    decide -> seal -> Receipt     (a verify's decision is made once: it is the same for every tenant and every time)
"""

from datetime import datetime, timedelta
from typing import Any, Final

from tai_autonomics.application.codec import request_digest
from tai_autonomics.application.sealing import Sealed, Submission, action_id_after, new_ledger, seal_decision
from tai_autonomics.domain.decider import Accepted
from tai_autonomics.domain.entitlement import Grant, Verify
from tai_autonomics.domain.identifiers import EntitlementId, PlanName
from tai_autonomics.domain.moments import moment_of
from tai_autonomics.domain.plans import Plans
from tai_autonomics.domain.tenant import INITIAL_STATE, Bounds, Command, TenantState, decide
from tai_autonomics.ledger.receipt import read, seal
from tai_autonomics.ledger.records import Head, Receipt
from tai_autonomics.policy.file import load, shipped

ENTITLEMENT: Final = EntitlementId("ent_1")
BOUNDS: Final = Bounds(entitlements_max=1_000, observed_ahead_seconds_max=300)
GRANT: Final = {"entitlement_id": "ent_1", "action": "grant", "plan": "professional"}
VERIFY: Final = {"entitlement_id": "ent_1"}
CALLER: Final = "admin"


class CountedEntropy:
    """Entropy that repeats itself from run to run: a benchmark's ledgers are the same every time."""

    def __init__(self) -> None:
        self._count = 0

    def bytes(self, count: int) -> bytes:
        self._count += 1
        return self._count.to_bytes(count, "big")

    def ulid(self) -> str:
        self._count += 1
        return f"{self._count:026d}"


class Ledgers:
    """The ledgers so far. `first` is the time of the first receipt; each further one is `step` later."""

    def __init__(self, plans: Plans, *, first: datetime, step: timedelta) -> None:
        self._plans, self._now, self._step = plans, first, step
        self._entropy = CountedEntropy()
        self._heads: dict[str, Receipt] = {}
        self._states: dict[str, TenantState] = {}
        self._number = 0
        self._verified = self._decide_verify()

    def state_of(self, tenant: str) -> TenantState:
        return self._states[tenant]

    def extend(self, tenant: str) -> Receipt:
        """The tenant's next receipt."""
        head = self._heads.get(tenant)
        self._now += self._step
        self._number += 1
        receipt = self._begin(tenant) if head is None else self._verify(tenant, head)
        self._heads[tenant] = receipt
        return receipt

    def _begin(self, tenant: str) -> Receipt:
        granted = self._seal(tenant, _grant(), GRANT, INITIAL_STATE, new_ledger(self._entropy))
        self._states[tenant] = granted.state
        return granted.receipt

    def _verify(self, tenant: str, head: Receipt) -> Receipt:
        command_id = self._command_id()
        return seal(
            tenant=tenant,
            ledger=head.ledger,
            seq=head.seq + 1,
            prev=head.hash,
            time=moment_of(self._now),
            type="transition",
            subject=("entitlement", ENTITLEMENT),
            cause={**self._verified["cause"], "id": command_id},
            decision=self._verified["decision"],
            events=self._verified["events"],
            refusal=None,
            policy=self._plans.digest,
            trace=None,
            commits={},
            command_id=command_id,
            claims=True,
        )

    def _decide_verify(self) -> dict[str, Any]:
        """The body of a verify by a tenant that nobody sees."""
        granted = self._seal("any", _grant(), GRANT, INITIAL_STATE, new_ledger(self._entropy))
        verified = self._seal("any", Verify(ENTITLEMENT), VERIFY, granted.state, granted.receipt)
        assert verified.state == granted.state, "a verify changes no state"
        return dict(read(verified.receipt.body))

    def _seal(
        self, tenant: str, command: Command, sent: dict[str, Any], state: TenantState, head: Head | Receipt
    ) -> Sealed:
        now = moment_of(self._now)
        decision = decide(command, state, now=now, plans=self._plans, bounds=BOUNDS, action_id=action_id_after(head))
        assert isinstance(decision.outcome, Accepted), decision.outcome
        request = request_digest({"tenant_id": tenant, **sent})
        submission = Submission(tenant, command, self._command_id(), "marketplace", CALLER, request)
        return seal_decision(
            submission, decision, state=state, head=head, now=now, policy=self._plans.digest, entropy=self._entropy
        )

    def _command_id(self) -> str:
        return f"http:{CALLER}:filled-{self._number}"


def _grant() -> Grant:
    return Grant(ENTITLEMENT, PlanName(GRANT["plan"]))


def shipped_plans() -> Plans:
    """The plans that a service without a plans file of its own has."""
    return load(shipped(), name="shipped plans")
