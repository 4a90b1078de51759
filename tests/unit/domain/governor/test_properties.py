"""What holds for every governor: storms of signals, people, an executor that dies, timers, plans that come and go."""

from collections import Counter
from decimal import Decimal

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.builders import BOUNDS, CPU, ENT, HOOK, NOW, PRO, governed
from tests.builders import rule as policy
from tests.sizes import size

from tai_autonomics.domain.actions import SuspendEntitlements, Throttle, Webhook
from tai_autonomics.domain.decider import Accepted, Refused, fold
from tai_autonomics.domain.entitlement import Grant, Resume, Suspend
from tai_autonomics.domain.governor import (
    ActionApproved,
    ActionAttempted,
    ActionRequested,
    ActionSettled,
    ApproveAction,
    AttemptEnded,
    BeginAttempt,
    CancelAction,
    DenyAction,
    GiveUp,
    GovernorState,
    LateResultRecorded,
    Observe,
    PauseGovernor,
    RefusalBegun,
    RefusalEnded,
    ReportResult,
    ResumeGovernor,
    Signal,
    WouldHaveActed,
    stage_of,
    status_of,
)
from tai_autonomics.domain.identifiers import ActionId
from tai_autonomics.domain.moments import Moment, datetime_of, plus_seconds
from tai_autonomics.domain.plans import Plans
from tai_autonomics.domain.rules import Approval, Budget, Lasting, Samples
from tai_autonomics.domain.tenant import (
    INITIAL_STATE,
    Command,
    Decision,
    Event,
    Restore,
    SetEffect,
    SetTimer,
    SettleEffect,
    TenantState,
    decide,
    due_of,
    evolve,
    next_timer,
    standing,
)

MEM, DISK = "memory", "disk"
FAILURES_MAX = 2
BUDGET = Budget(3, 1_800)
FILES: tuple[Plans, ...] = (
    governed(
        policy("scale", cooldown=60, order=HOOK, attempts=2),
        policy("page", signal=MEM, cooldown=0, order=Webhook("https://once.example", idempotent=False)),
        policy("ask", signal=MEM, over=Samples(2), mode="approve", approval=Approval(300, 2)),
        policy("dark", over=Lasting(120), cooldown=30, mode="shadow"),
        budget=BUDGET,
        failures=FAILURES_MAX,
    ),
    governed(
        policy("scale", cooldown=600, order=Throttle(5, 60, 400)),
        policy("ask", signal=MEM, cooldown=10, mode="approve"),
        policy("stop", signal=DISK, cooldown=10, order=SuspendEntitlements()),
        budget=BUDGET,
        failures=FAILURES_MAX,
    ),
)

values = st.sampled_from([10, 55, 70, 85, 85, 99])
offsets = st.sampled_from([None, None, 0, 0, -5, 30, 301])
signals = st.builds(
    lambda metric, value, offset: (metric, value, offset), st.sampled_from([CPU, CPU, MEM, MEM, DISK]), values, offsets
)
people = st.sampled_from(["ann", "bob", "cat"])
outcomes = st.sampled_from(["succeeded", "failed", "failed", "timed_out", "unknown"])


class GovernorHistory(RuleBasedStateMachine):
    """One tenant at random, and beside it one that nobody touches; the model reads events alone."""

    def __init__(self) -> None:
        super().__init__()
        self.now: Moment = NOW
        self.plans = FILES[0]
        self.state: TenantState = INITIAL_STATE
        self.events: list[Event] = []
        self.snapshot = (msgspec.json.encode(INITIAL_STATE), 0)
        self.requested = 0
        # the model
        self.in_flight: ActionId | None = None
        self.open: int | None = None
        self.lost: set[tuple[ActionId, int]] = set()
        self.known: list[tuple[ActionId, int]] = []
        self.cooldowns: dict[str, Moment] = {}
        self.used: Counter[int] = Counter()
        self.refusing: set[str] = set()
        self.failures = 0
        self.effects: dict[str, Moment] = {}

    @initialize()
    def begin(self) -> None:
        self.decided(Grant(ENT, PRO))

    # what happens

    @rule(drawn=st.lists(signals, min_size=1, max_size=4))
    def observe(self, drawn: list[tuple[str, int, int | None]]) -> None:
        made = tuple(
            Signal(metric, Decimal(value), None if offset is None else plus_seconds(self.now, offset))
            for metric, value, offset in drawn
        )
        self.submit(Observe(made))

    @rule(metric=st.sampled_from([CPU, CPU, MEM, MEM, DISK]), seconds=st.sampled_from([0, 30, 60, 600]))
    def surge(self, metric: str, seconds: int) -> None:
        """What makes a rule act, or else a history hardly leaves its first state."""
        self.now = plus_seconds(self.now, seconds)
        self.submit(Observe((Signal(metric, Decimal(95)), Signal(metric, Decimal(99)))))

    @precondition(lambda self: self.stage() == "awaiting_approval")
    @rule(by=people)
    def approve(self, by: str) -> None:
        self.submit(ApproveAction(self.some_action(), by))

    @precondition(lambda self: self.stage() is not None and len(self.events) % 3 == 0)
    @rule(command=st.sampled_from([DenyAction, CancelAction]), by=people)
    def stop(self, command: type[DenyAction] | type[CancelAction], by: str) -> None:
        self.submit(command(self.some_action(), by))

    @precondition(lambda self: self.stage() in ("ready", "retrying"))
    @rule(seconds=st.sampled_from([0, 0, 5, 30]))
    def execute(self, seconds: int) -> None:
        """The next attempt, as the executor begins it."""
        self.now = plus_seconds(self.now, seconds)
        action = self.state.governor.in_flight
        assert action is not None
        target = action.target or {"until": plus_seconds(self.now, 400), "requests": 5}
        self.submit(BeginAttempt(action.id, action.attempts + 1, target))

    @precondition(lambda self: self.stage() == "attempting")
    @rule(outcome=outcomes, temporary=st.booleans(), retry=st.sampled_from([None, 0, 5]))
    def report(self, outcome: str, temporary: bool, retry: int | None) -> None:
        action = self.state.governor.in_flight
        assert action is not None
        retry_at = None if retry is None else plus_seconds(self.now, retry)
        self.submit(ReportResult(action.id, action.attempts, outcome, "d", 5, temporary, retry_at))  # type: ignore[arg-type]

    @rule(metric=st.sampled_from([CPU, MEM]), outcome=outcomes, lost=st.booleans())
    def act_through(self, metric: str, outcome: str, lost: bool) -> None:
        """All of it in one step: what acts, who approves, the attempt, and what becomes of it."""
        self.surge(metric, 60)
        for by in ("ann", "bob"):
            if self.stage() == "awaiting_approval":
                self.approve(by)
        if self.stage() in ("ready", "retrying"):
            self.execute(5)
        if self.stage() == "attempting" and not lost:
            self.report(outcome, temporary=True, retry=5)

    @precondition(lambda self: self.state.governor.refusing)
    @rule()
    def look_at_it(self) -> None:
        """An operator comes when the governor waits for one."""
        self.resume()

    @precondition(lambda self: self.known)
    @rule(outcome=outcomes, back=st.integers(1, 4))
    def report_late(self, outcome: str, back: int) -> None:
        action_id, attempt = self.known[-min(back, len(self.known))]
        self.submit(ReportResult(action_id, attempt, outcome, "late", 5))  # type: ignore[arg-type]

    @precondition(lambda self: len(self.events) % 4 == 0)
    @rule(attempt=st.sampled_from([0, 1, 2, 3]))
    def attempt_out_of_turn(self, attempt: int) -> None:
        self.submit(BeginAttempt(self.some_action(), attempt, {}))

    @precondition(lambda self: self.stage() is not None and len(self.events) % 3 == 1)
    @rule(result=st.sampled_from(["failed", "cancelled"]))
    def give_up(self, result: str) -> None:
        self.submit(GiveUp(self.some_action(), result, "cannot"))  # type: ignore[arg-type]

    @precondition(lambda self: len(self.events) % 5 == 0)
    @rule()
    def pause(self) -> None:
        self.submit(PauseGovernor())

    @rule()
    def resume(self) -> None:
        self.submit(ResumeGovernor())

    @precondition(lambda self: len(self.events) % 5 == 1)
    @rule()
    def suspend(self) -> None:
        self.submit(Suspend(ENT))

    @precondition(lambda self: not self.state.in_service)
    @rule()
    def bring_back(self) -> None:
        self.submit(Resume(ENT))

    @rule(seconds=st.sampled_from([0, 1, 10, 30, 60, 300, 900, 1_800]))
    def wait(self, seconds: int) -> None:
        self.now = plus_seconds(self.now, seconds)

    @rule(number=st.sampled_from([0, 0, 1]))
    def reload_plans(self, number: int) -> None:
        self.plans = FILES[number]

    @rule()
    def take_a_snapshot(self) -> None:
        self.snapshot = (msgspec.json.encode(self.state), len(self.events))

    @rule()
    def restart(self) -> None:
        """A new process has the snapshot and the receipts after it."""
        self.state = self.rebuilt()

    @precondition(lambda self: len(self.events) % 11 == 0)
    @rule()
    def restore(self) -> None:
        self.decided(Restore("l", 1, "a" * 64))

    # how it is decided

    def stage(self) -> str | None:
        action = self.state.governor.in_flight
        return None if action is None else stage_of(action)

    def some_action(self) -> ActionId:
        action = self.state.governor.in_flight
        return ActionId("none") if action is None else action.id

    def submit(self, command: Command) -> None:
        for _ in range(20):
            timer = next_timer(self.state, self.now)
            if timer is None:
                break
            assert isinstance(self.decided(timer).outcome, Accepted), timer
        assert next_timer(self.state, self.now) is None
        self.decided(command)

    def decided(self, command: Command) -> Decision:
        before, bytes_before = self.state, msgspec.json.encode(self.state)
        self.requested += 1
        decision = decide(
            command,
            before,
            now=self.now,
            plans=self.plans,
            bounds=BOUNDS,
            action_id=ActionId(f"act_{self.requested}"),
        )
        if isinstance(decision.outcome, Refused):
            assert decision.was == decision.to
            assert decision.outcome.next_step
        else:
            for event in decision.outcome.events:
                self.look_at(event, decision)
            self.state = fold(evolve, before, decision.outcome.events)
            self.events += decision.outcome.events
        assert msgspec.json.encode(before) == bytes_before
        return decision

    def rebuilt(self) -> TenantState:
        state = msgspec.json.decode(self.snapshot[0], type=TenantState)
        return fold(evolve, state, self.events[self.snapshot[1] :])

    # the model

    def look_at(self, event: Event, decision: Decision) -> None:
        written = msgspec.json.encode(event)
        assert msgspec.json.decode(written, type=Event) == event
        assert b"null" not in written
        for change in due_of(event):
            match change:
                case SetEffect():
                    self.effects[change.subject] = change.due
                case SettleEffect():
                    self.effects.pop(change.subject, None)
        match event:
            case ActionRequested():
                self.look_at_request(event)
            case WouldHaveActed():
                assert not self.refusing
                self.cool_down(event.rule, event.at, event.cooldown_until)
            case ActionApproved(deadline=str()):
                assert not self.refusing
                self.use_budget()
            case ActionAttempted():
                assert (event.action_id, self.open) == (self.in_flight, None)
                assert decision.kind == "action_attempt"
                self.open = event.attempt
                self.known.append((event.action_id, event.attempt))
            case AttemptEnded():
                assert (event.action_id, event.attempt) == (self.in_flight, self.open)
                self.open = None
                if event.lost:
                    self.lost.add((event.action_id, event.attempt))
            case LateResultRecorded():
                self.lost.remove((event.action_id, event.attempt))
                assert decision.kind == "action_result"
            case ActionSettled():
                assert (event.action_id, self.open) == (self.in_flight, None)
                self.look_at_settled(event)
            case RefusalBegun():
                self.refusing.add(event.cause)
                if event.cause == "breaker":
                    assert event.failures == self.failures == FAILURES_MAX
            case RefusalEnded():
                assert set(event.causes) <= self.refusing
                self.refusing -= set(event.causes)
                self.failures = event.failures
            case _:
                pass

    def look_at_request(self, event: ActionRequested) -> None:
        assert self.in_flight is None
        assert not self.refusing
        assert self.failures < FAILURES_MAX
        self.in_flight = event.action_id
        self.cool_down(event.rule, event.requested_at, event.cooldown_until)
        if event.approval is None:
            self.use_budget()

    def look_at_settled(self, event: ActionSettled) -> None:
        self.in_flight = None
        match event.result:
            case "failed" | "timed_out":
                self.failures += 1
            case "succeeded":
                self.failures = 0
        assert event.failures == self.failures

    def cool_down(self, name: str, at: Moment, until: Moment) -> None:
        assert at == self.now
        assert at >= self.cooldowns.get(name, NOW)
        self.cooldowns[name] = until

    def use_budget(self) -> None:
        window = int(datetime_of(self.now).timestamp()) // BUDGET.per_seconds
        self.used[window] += 1
        assert self.used[window] <= BUDGET.max

    # what always holds

    @invariant()
    def the_state_is_what_the_events_say(self) -> None:
        governor = self.state.governor
        assert (governor.in_flight and governor.in_flight.id) == self.in_flight
        assert set(governor.refusing) == self.refusing
        assert governor.failures == self.failures
        assert {(lost.action_id, lost.attempt) for lost in governor.lost} <= self.lost
        assert governor.budget is None or governor.budget.used <= BUDGET.max

    @invariant()
    def timers_and_effects_follow_from_the_governor(self) -> None:
        timers = {key: timer.due for key, timer in self.state.timers.items() if not key.startswith("entitlement/")}
        assert timers == timers_of(self.state.governor)
        action = self.state.governor.in_flight
        waiting = action is not None and stage_of(action) in ("ready", "retrying")
        assert set(self.effects) == ({f"action/{action.id}"} if action is not None and waiting else set())

    @invariant()
    def what_is_set_can_be_told_from_the_state_alone(self) -> None:
        rows = standing(self.state)
        timers = {f"{row.subject}/{row.kind}": row.due for row in rows if isinstance(row, SetTimer)}
        assert timers == {key: timer.due for key, timer in self.state.timers.items()}
        effects = {row.subject: row.due for row in rows if isinstance(row, SetEffect)}
        assert effects.keys() == self.effects.keys()
        # Of one that was approved since, the moment is no part of the state.
        assert all(due <= self.effects[subject] for subject, due in effects.items())

    @invariant()
    def the_status_is_as_drawn(self) -> None:
        governor, status = self.state.governor, status_of(self.state.governor)
        assert (status == "refusing") == bool(governor.refusing)
        assert (status == "intervening") == (governor.in_flight is not None and not governor.refusing)
        assert status != "boot" or not governor.metrics

    def teardown(self) -> None:
        assert fold(evolve, INITIAL_STATE, self.events) == self.state
        assert self.rebuilt() == self.state
        assert msgspec.json.decode(msgspec.json.encode(self.state), type=TenantState) == self.state


def timers_of(governor: GovernorState) -> dict[str, Moment]:
    """The timers that follow from what the governor says, and from nothing else."""
    timers: dict[str, Moment | None] = {}
    if (budget := governor.refusing.get("budget")) is not None:
        timers["governor/budget_end"] = budget.until
    if governor.throttle is not None:
        timers["governor/throttle_end"] = governor.throttle.until
    if (action := governor.in_flight) is not None:
        match stage_of(action):
            case "awaiting_approval":
                timers[f"action/{action.id}/approval_lapse"] = action.approval and action.approval.until
            case "attempting":
                timers[f"action/{action.id}/attempt_lease"] = action.leased_until
            case "ready" | "retrying":
                timers[f"action/{action.id}/deadline"] = action.deadline
    return timers  # type: ignore[return-value]


TestGovernorHistory = GovernorHistory.TestCase
TestGovernorHistory.settings = settings(max_examples=size(short=60, full=3_000), stateful_step_count=50, deadline=None)
