"""Values for tests: valid by default, so that a test names only what matters to it."""

from collections.abc import Callable
from decimal import Decimal

from tai_autonomics.domain.actions import Action, Order, Webhook
from tai_autonomics.domain.entitlement import EntitlementGranted
from tai_autonomics.domain.governor import Observe, Signal
from tai_autonomics.domain.identifiers import (
    ActionId,
    ControlName,
    EntitlementId,
    FeatureName,
    MetricName,
    PlanName,
    QuotaName,
    RuleName,
)
from tai_autonomics.domain.moments import Moment, plus_seconds
from tai_autonomics.domain.plans import Kind, OnStale, Per, Plan, Plans, Quota
from tai_autonomics.domain.rules import (
    Approval,
    Budget,
    Condition,
    Facts,
    Governance,
    Lasting,
    Mode,
    Rule,
    Samples,
)
from tai_autonomics.domain.tenant import Bounds, EffectivePlanChanged, Event
from tai_autonomics.ledger.receipt import seal
from tai_autonomics.ledger.records import Receipt

ENT = EntitlementId("ent_1")
ACTION = ActionId("act_1")
CPU = MetricName("cpu")
HIGH = RuleName("cpu-high")
HOOK = Webhook("https://hooks.example/scale")
NO_RULES = Governance()
NEWEST = Samples(1)
FREE, PRO, BIG, LEGACY = PlanName("free"), PlanName("professional"), PlanName("enterprise"), PlanName("legacy")
CALLS = QuotaName("api_calls")
BOUNDS = Bounds(entitlements_max=1_000, observed_ahead_seconds_max=300)


def moment(text: str) -> Moment:
    """The moment of a text cut short: "2026-11-24", "2026-11-24T12:30"."""
    return Moment(text + "0000-01-01T00:00:00.000000Z"[len(text) :])


NOW = moment("2026-11-24T12:30:15")
EARLIER, LATER, LATEST = moment("2026-11-24T12"), moment("2026-12-24"), moment("2027-06-30")


def quota(
    name: str = CALLS,
    limit: int | None = 100,
    *,
    per: Per = "day",
    kind: Kind = "hard",
    thresholds: tuple[int, ...] = (),
) -> Quota:
    return Quota(QuotaName(name), limit, per, kind, thresholds)


def plan(
    name: str = PRO,
    *quotas: Quota,
    rank: int = 20,
    features: tuple[str, ...] = (),
    on_stale: OnStale = "allow",
    retired: bool = False,
    governor: Governance = NO_RULES,
    requires: tuple[str, ...] = (),
) -> Plan:
    names = frozenset(FeatureName(feature) for feature in features)
    controls = tuple(ControlName(control) for control in requires)
    every = {each.name: each for each in quotas}
    return Plan(PlanName(name), rank, names, every, on_stale, retired, governor, controls)


def plans(*every: Plan) -> Plans:
    """The plans given, or three that are offered and one that is retired."""
    return Plans("0" * 64, {each.name: each for each in every or STANDARD})


STANDARD = (
    plan(FREE, quota(limit=10), rank=10),
    plan(PRO, quota(limit=100), rank=20, features=("export",)),
    plan(BIG, quota(limit=1_000), rank=30, features=("export", "audit")),
    plan(LEGACY, quota(limit=50), rank=15, retired=True),
)


def in_service(
    entitlement_id: str = ENT, *, plan: PlanName = PRO, expires_at: Moment | None = None
) -> tuple[Event, ...]:
    """The history of a tenant whose first entitlement is active."""
    granted = EntitlementGranted(EntitlementId(entitlement_id), plan, expires_at)
    return granted, EffectivePlanChanged(plan=plan)


def after(seconds: float, start: Moment = NOW) -> Moment:
    return plus_seconds(start, seconds)


def above(bound: int) -> Condition:
    return Condition(f"window.avg > {bound}.0", lambda facts: facts.window.avg > bound)


def below(bound: int) -> Condition:
    return Condition(f"window.avg < {bound}.0", lambda facts: facts.window.avg < bound)


def when(text: str, holds: Callable[[Facts], bool]) -> Condition:
    return Condition(text, holds)


WARN, ACT, CLEAR = above(60), above(80), below(50)


def rule(
    name: str = HIGH,
    *,
    signal: str = CPU,
    over: Samples | Lasting = NEWEST,
    warn: Condition | None = WARN,
    act: Condition = ACT,
    clear: Condition = CLEAR,
    cooldown: int = 600,
    order: Order = HOOK,
    mode: Mode = "enforce",
    approval: Approval | None = None,
    attempts: int = 3,
    timeout: int = 10,
) -> Rule:
    """Warns above 60, acts above 80, clears below 50; not again within ten minutes."""
    if mode == "approve" and approval is None:
        approval = Approval(within_seconds=900)
    return Rule(
        RuleName(name), MetricName(signal), over, act, clear, cooldown, order, mode, warn, approval, attempts, timeout
    )


def governed(
    *rules: Rule, budget: Budget | None = None, failures: int | None = None, requires: tuple[str, ...] = ()
) -> Plans:
    """The standard plans, PRO with these rules, or with the one that `rule` makes."""
    governance = Governance(rules or (rule(),), budget, failures)
    return plans(STANDARD[0], plan(PRO, quota(limit=100), governor=governance, requires=requires), *STANDARD[2:])


def observed(*values: float | str, at: Moment | None = None, metric: str = CPU, **labels: str) -> Observe:
    return Observe(tuple(Signal(MetricName(metric), Decimal(str(value)), at, labels) for value in values))


def action(order: Order, **other: object) -> Action:
    """One that acme's rule asked for."""
    valid: dict[str, object] = {
        "id": ActionId("act_01KAT4JYQ1M9G4B8W3E4ZP7R2D"),
        "tenant": "acme",
        "rule": RuleName("cpu-high"),
        "order": order,
        "attempts_max": 3,
        "timeout_seconds": 5,
        "deadline": Moment("2026-11-24T12:40:00.000000Z"),
        "requested_at": Moment("2026-11-24T12:30:00.000000Z"),
        "metric": "cpu_utilization",
        "value": "91.5",
    }
    return Action(**{**valid, **other})  # type: ignore[arg-type]


def of_a_newer_release(tenant: str, *, ledger: str, seq: int, prev: str, time: str) -> Receipt:
    """It holds an event that this release does not know."""
    return seal(
        tenant=tenant,
        ledger=ledger,
        seq=seq,
        prev=prev,
        time=time,
        type="transition",
        subject=("entitlement", "ent_1"),
        cause={"kind": "api", "id": "k", "by": "me"},
        decision={},
        events=[{"type": "EntitlementGifted"}],
        refusal=None,
        policy="0" * 64,
        trace=None,
        commits={},
        command_id="k",
        claims=True,
    )
