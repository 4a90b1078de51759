"""What holds for every history: random commands at random times, under plans files that come and go."""

from datetime import datetime

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.builders import ACTION, BIG, FREE, NOW, PRO, plan, plans, quota

from tai_autonomics.domain.decider import Accepted, fold
from tai_autonomics.domain.entitlement import (
    FINAL,
    FROM,
    IN_SERVICE,
    Cancel,
    ChangePlan,
    EntitlementState,
    Grant,
    Reinstate,
    Reject,
    Renew,
    Request,
    Resume,
    Revoke,
    Suspend,
    TimerKind,
    Verify,
)
from tai_autonomics.domain.moments import Moment, datetime_of, plus_seconds
from tai_autonomics.domain.plans import COUNT_MAX, Per, Plans
from tai_autonomics.domain.quota import Consume, QuotaConsumed, QuotaReleased, QuotaReset, Release, Reset
from tai_autonomics.domain.tenant import (
    INITIAL_STATE,
    Bounds,
    Check,
    Command,
    Decision,
    Event,
    TenantState,
    Timer,
    after_timers,
    check,
    decide,
    due_of,
    effective_plan,
    evolve,
    next_timer,
)

BOUNDS = Bounds(entitlements_max=4, observed_ahead_seconds_max=300)
FILES = (
    plans(
        plan(FREE, quota("a", 3), quota("b", 0, kind="soft"), rank=10),
        plan(PRO, quota("a", 9, thresholds=(50, 100)), quota("b", 2, kind="soft", thresholds=(100, 300)), rank=20),
        plan(BIG, quota("a", None, per="month"), quota("c", 5, per="lifetime"), rank=30),
    ),
    plans(
        plan(FREE, quota("a", 5, per="hour"), quota("c", 2, per="lifetime"), rank=40),
        plan(PRO, quota("a", 4), rank=20, retired=True),
    ),
)
STEPS_SECONDS = (0, 1, 59, 3_600, 86_400, 31 * 86_400)

ids = st.sampled_from(["e1", "e2", "e3", "e4", "e5"])
names = st.sampled_from([FREE, PRO, BIG, BIG, "gold"])
quotas = st.sampled_from(["a", "a", "b", "c", "d"])
amounts = st.sampled_from([1, 1, 2, 3, 9, COUNT_MAX])
offsets = st.sampled_from([None, None, 1, 3_600, 86_400, 40 * 86_400, 0, -86_400])
observed = st.sampled_from([None, None, None, 0, 0, -1, 301])
lifecycle = {
    Verify: (),
    Request: (names,),
    Grant: (st.one_of(st.none(), names), offsets, offsets),
    Reject: (),
    ChangePlan: (names, offsets),
    Suspend: (),
    Resume: (),
    Cancel: (offsets,),
    Reinstate: (),
    Renew: (st.sampled_from([1, 86_400, 40 * 86_400, 80 * 86_400]),),
    Revoke: (),
}


def at(command: Command, now: Moment) -> Command:
    """The command with its offsets from now made moments."""
    fields = ("effective_at", "expires_at", "observed_at")
    offset = {name: getattr(command, name, None) for name in fields}
    moments = {name: plus_seconds(now, seconds) for name, seconds in offset.items() if seconds is not None}
    return msgspec.structs.replace(command, **moments)


def window_of(per: Per, now: Moment) -> datetime | None:
    instant = datetime_of(now).replace(microsecond=0)
    match per:
        case "lifetime":
            return None
        case "minute":
            return instant.replace(second=0)
        case "hour":
            return instant.replace(second=0, minute=0)
        case "day":
            return instant.replace(second=0, minute=0, hour=0)
        case "month":
            return instant.replace(second=0, minute=0, hour=0, day=1)


def timers_of(entitlements: dict[str, EntitlementState]) -> dict[str, Timer]:
    """The timers that follow from what the entitlements say, and from nothing else."""
    timers: dict[str, Timer] = {}
    for name, held in entitlements.items():
        times: dict[TimerKind, Moment | None] = {
            "activate": held.effective_at,
            "expire": held.expires_at,
            "end_of_term": held.ends_at,
            "plan_change": held.next_plan_at,
        }
        for kind, due in times.items():
            if due is not None:
                timers[f"entitlement/{name}/{kind}"] = Timer(f"entitlement/{name}", kind, due)
    return timers


class TenantHistory(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.plans: Plans = FILES[0]
        self.state: TenantState = INITIAL_STATE
        self.events: list[Event] = []
        self.model: dict[str, tuple[tuple[Per, datetime | None], int]] = {}

    @initialize(granted=st.sampled_from([FREE, PRO, BIG]))
    def begin(self, granted: str) -> None:
        self.decided(Grant("e1", granted))

    @rule(data=st.data(), entitlement_id=ids)
    def change_anyhow(self, data: st.DataObject, entitlement_id: str) -> None:
        self.change(data, entitlement_id, fitting=False)

    @rule(data=st.data(), entitlement_id=ids)
    def change_as_allowed(self, data: st.DataObject, entitlement_id: str) -> None:
        """What the entitlement's state allows, or else a history hardly leaves its first state."""
        self.change(data, entitlement_id, fitting=True)

    @rule(data=st.data(), entitlement_id=st.sampled_from(["e1", "e2"]))
    def change_one_again(self, data: st.DataObject, entitlement_id: str) -> None:
        self.change(data, entitlement_id, fitting=True)

    @rule(name=quotas, amount=amounts, entitlement_id=st.one_of(st.none(), st.none(), ids))
    def use(self, name: str, amount: int, entitlement_id: str | None) -> None:
        self.submit(Consume(name, amount, entitlement_id))

    @rule(command=st.one_of(st.builds(Release, quotas, amounts), st.builds(Reset, quotas)))
    def give_back(self, command: Release | Reset) -> None:
        self.submit(command)

    @rule(seconds=st.sampled_from(STEPS_SECONDS))
    def wait(self, seconds: int) -> None:
        self.now = plus_seconds(self.now, seconds)

    def change(self, data: st.DataObject, entitlement_id: str, *, fitting: bool) -> None:
        status = self.state.entitlements.get(entitlement_id, EntitlementState()).status
        kinds = [kind for kind in lifecycle if not fitting or status in FROM[kind]]
        if len(kinds) > 2 and fitting:
            kinds.remove(Revoke)
        kind = data.draw(st.sampled_from(kinds or list(lifecycle)))
        self.submit(data.draw(st.builds(kind, st.just(entitlement_id), *lifecycle[kind], observed)))

    def submit(self, command: Command) -> None:
        asked = at(command, self.now)
        foretold = self.foretell(asked)
        expected = after_timers(self.state, self.now)
        for _ in range(20):
            timer = next_timer(self.state, self.now)
            if timer is None:
                break
            assert isinstance(self.decided(timer).outcome, Accepted)
        assert next_timer(self.state, self.now) is None
        assert self.state == msgspec.structs.replace(expected, plan=self.state.plan)
        decision = self.decided(asked)
        assert foretold in (None, isinstance(decision.outcome, Accepted))

    @rule(number=st.sampled_from([0, 1]))
    def reload_plans(self, number: int) -> None:
        self.plans = FILES[number]

    def foretell(self, command: Command) -> bool | None:
        """What a check made before the timers says of the command."""
        match command:
            case Consume(name, amount, entitlement_id):
                asked = Check(entitlement_id, quota=name, amount=amount)
            case Verify(entitlement_id, None):
                asked = Check(entitlement_id)
            case _:
                return None
        return check((asked,), self.state, now=self.now, plans=self.plans)[0].allowed

    def decided(self, command: Command) -> Decision:
        before, bytes_before = self.state, msgspec.json.encode(self.state)
        decision = decide(command, before, now=self.now, plans=self.plans, bounds=BOUNDS, action_id=ACTION)
        assert msgspec.json.encode(before) == bytes_before
        if isinstance(decision.outcome, Accepted):
            self.state = fold(evolve, before, decision.outcome.events)
            self.events += decision.outcome.events
            self.look_at(decision.outcome.events, before)
            plan_now = effective_plan(self.state, self.plans)
            assert self.state.plan == (plan_now and plan_now.name)
        assert msgspec.json.encode(before) == bytes_before
        return decision

    def look_at(self, events: tuple[Event, ...], before: TenantState) -> None:
        for event in events:
            assert msgspec.json.decode(msgspec.json.encode(event), type=Event) == event
            assert b"null" not in msgspec.json.encode(event)
            assert isinstance(due_of(event), tuple)
            if isinstance(event, QuotaConsumed | QuotaReleased | QuotaReset):
                self.look_at_use(event)
        for name, held in before.entitlements.items():
            if held.status in FINAL:
                assert self.state.entitlements[name] == held

    def look_at_use(self, event: QuotaConsumed | QuotaReleased | QuotaReset) -> None:
        window = (event.per, window_of(event.per, self.now))
        known, used = self.model.get(event.quota, (window, 0))
        used = used if known == window else 0
        match event:
            case QuotaConsumed():
                used += event.amount
                limit = effective_plan(self.state, self.plans).quotas[event.quota]  # type: ignore[union-attr]
                assert limit.kind == "soft" or limit.limit is None or used <= limit.limit
                assert used <= COUNT_MAX
            case QuotaReleased():
                used -= event.amount
            case QuotaReset():
                assert event.was == used
                used = 0
        assert event.used == used >= 0
        self.model[event.quota] = (window, used)

    @invariant()
    def replay_gives_the_live_state(self) -> None:
        assert fold(evolve, INITIAL_STATE, self.events) == self.state

    @invariant()
    def the_state_survives_a_snapshot(self) -> None:
        assert msgspec.json.decode(msgspec.json.encode(self.state), type=TenantState) == self.state

    @invariant()
    def timers_follow_from_the_entitlements(self) -> None:
        assert self.state.timers == timers_of(self.state.entitlements)
        assert self.state.due == min((timer.due for timer in self.state.timers.values()), default=None)

    @invariant()
    def what_is_in_service_is_counted(self) -> None:
        held = [each.plan for each in self.state.entitlements.values() if each.status in IN_SERVICE]
        assert self.state.in_service == {name: held.count(name) for name in set(held)}

    @invariant()
    def the_bound_holds_and_final_ones_keep_only_their_end(self) -> None:
        assert len(self.state.entitlements) <= BOUNDS.entitlements_max
        for held in self.state.entitlements.values():
            if held.status in FINAL:
                assert held == EntitlementState(held.status, ended_at=held.ended_at)
                assert held.ended_at


TestTenantHistory = pytest.mark.long(TenantHistory.TestCase)
TestTenantHistory.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
