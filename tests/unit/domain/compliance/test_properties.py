"""What holds for every history of holds and attestations: after a hold's receipt nothing of its scope is accepted."""

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.builders import BOUNDS, CALLS, ENT, NOW, PRO, governed, observed
from tests.builders import rule as policy
from tests.sizes import size

from tai_autonomics.domain.compliance import (
    Attest,
    AttestationLapsed,
    ControlAttested,
    HoldExpired,
    HoldPlaced,
    HoldReleased,
    PlaceHold,
    ReleaseHold,
)
from tai_autonomics.domain.decider import Accepted, fold
from tai_autonomics.domain.entitlement import Cancel, ChangePlan, Grant, Reinstate, Renew, Resume, Suspend, Verify
from tai_autonomics.domain.governor import (
    ActionApproved,
    ActionRequested,
    ApproveAction,
    BeginAttempt,
    PauseGovernor,
    ReportResult,
    ResumeGovernor,
    stage_of,
)
from tai_autonomics.domain.identifiers import ActionId
from tai_autonomics.domain.moments import Moment, plus_seconds
from tai_autonomics.domain.plans import Plans
from tai_autonomics.domain.quota import Consume, Release, Reset
from tai_autonomics.domain.tenant import (
    INITIAL_STATE,
    Check,
    Command,
    Erase,
    Event,
    TenantState,
    check,
    decide,
    due_of,
    effective_plan,
    evolve,
    next_timer,
)

RULES = (policy("scale", cooldown=0), policy("ask", signal="memory", cooldown=0, mode="approve"))
FILES: tuple[Plans, ...] = (governed(*RULES), governed(*RULES, requires=("a", "b")))
SERVICE = (Verify, Consume, Grant, ChangePlan, Resume, Reinstate, Renew)

offsets = st.sampled_from([None, None, 1, 60, 3_600, 0, -60])
scopes = st.sampled_from(["all", "actions", "erasure"])
free = st.sampled_from(
    [
        Verify(ENT),
        Consume(CALLS, 1),
        Consume(CALLS, 1, ENT),
        Release(CALLS, 1),
        Reset(CALLS),
        Suspend(ENT),
        Resume(ENT),
        ChangePlan(ENT, PRO),
        Cancel(ENT),
        Reinstate(ENT),
        Grant("e2", PRO),
        Erase(1, "reason"),
        Erase(1, "reason", again=True),
        observed(99),
        observed(10),
        observed(99, metric="memory"),
        PauseGovernor(),
        ResumeGovernor(),
    ]
)


class ComplianceHistory(RuleBasedStateMachine):
    """One tenant at random; the model reads events and the plans file alone."""

    def __init__(self) -> None:
        super().__init__()
        self.now: Moment = NOW
        self.plans = FILES[0]
        self.state: TenantState = INITIAL_STATE
        self.events: list[Event] = []
        self.decisions = 0
        # the model
        self.holds: dict[str, tuple[str, Moment | None]] = {}
        self.controls: dict[str, tuple[str, Moment]] = {}

    @initialize()
    def begin(self) -> None:
        self.submit(Grant(ENT, PRO))

    @rule(command=free)
    def ask(self, command: Command) -> None:
        self.submit(command)

    @rule(scope=scopes, offset=offsets)
    def place(self, scope: str, offset: int | None) -> None:
        expires_at = None if offset is None else plus_seconds(self.now, offset)
        self.submit(PlaceHold(scope, "urn:case", "olga", expires_at))  # type: ignore[arg-type]

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self.submit(ReleaseHold(data.draw(st.sampled_from([*self.holds, "other"])), "olga"))  # type: ignore[arg-type]

    @precondition(lambda self: self.holds)
    @rule()
    def release_all(self) -> None:
        """Or else a history is hardly ever open again."""
        for hold_id in list(self.holds):
            self.submit(ReleaseHold(hold_id, "olga"))  # type: ignore[arg-type]

    @rule(
        control=st.sampled_from(["a", "b", "c"]),
        status=st.sampled_from(["compliant", "compliant", "compliant", "non_compliant"]),
        seconds=st.sampled_from([60, 3_600, 86_400, 0]),
    )
    def attest(self, control: str, status: str, seconds: int) -> None:
        self.submit(Attest(control, status, "urn:audit", "eve", plus_seconds(self.now, seconds)))  # type: ignore[arg-type]

    @rule()
    def attest_all(self) -> None:
        for control in ("a", "b"):
            self.attest(control, "compliant", 3_600)

    @precondition(lambda self: self.state.governor.in_flight is not None)
    @rule()
    def go_on(self) -> None:
        """The next step of the action in flight, by a person or the executor."""
        action = self.state.governor.in_flight
        assert action is not None
        match stage_of(action):
            case "awaiting_approval":
                self.submit(ApproveAction(action.id, "anna"))
            case "ready" | "retrying":
                self.submit(BeginAttempt(action.id, action.attempts + 1, {}))
            case "attempting":
                self.submit(ReportResult(action.id, action.attempts, "succeeded", "ok", 5))

    @rule(seconds=st.sampled_from([0, 1, 59, 60, 3_600]))
    def wait(self, seconds: int) -> None:
        self.now = plus_seconds(self.now, seconds)

    @rule(number=st.sampled_from([0, 1, 1]))
    def reload_plans(self, number: int) -> None:
        self.plans = FILES[number]

    def submit(self, command: Command) -> None:
        foretold = self.foretell(command)
        while (timer := next_timer(self.state, self.now)) is not None:
            assert self.decided(timer), f"a due timer was refused: {timer!r}"
        accepted = self.decided(command)
        assert foretold in (None, accepted)

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

    def decided(self, command: Command) -> bool:
        self.decisions += 1
        before, made = self.state, ActionId(f"id-{self.decisions}")
        closed = {concern: self.is_closed(concern) for concern in ("service", "actions", "erasure")}
        decision = decide(command, before, now=self.now, plans=self.plans, bounds=BOUNDS, action_id=made)
        outcome = decision.outcome
        if not isinstance(outcome, Accepted):
            assert outcome.reason != "compliance_closed" or any(closed.values())
            return False
        assert not (closed["service"] and isinstance(command, SERVICE)), command
        assert not (closed["erasure"] and isinstance(command, Erase) and not command.again), command
        acts = any(isinstance(event, ActionRequested | ActionApproved) for event in outcome.events)
        assert not (closed["actions"] and acts), command
        self.state = fold(evolve, before, outcome.events)
        for event in outcome.events:
            assert msgspec.json.decode(msgspec.json.encode(event), type=Event) == event
            assert isinstance(due_of(event), tuple)
            self.learn(event)
        self.events += outcome.events
        # What a receipt leaves is what it says: rules are held exactly while compliance is closed for actions.
        assert ("hold" in self.state.governor.refusing) is self.is_closed("actions")
        return True

    def learn(self, event: Event) -> None:
        match event:
            case HoldPlaced():
                self.holds[event.hold_id] = (event.scope, event.expires_at)
            case HoldReleased() | HoldExpired():
                assert self.holds.pop(event.hold_id)[0] == event.scope
            case ControlAttested():
                self.controls[event.control] = (event.status, event.valid_until)
            case AttestationLapsed():
                assert self.controls[event.control] == (event.status, self.controls[event.control][1])
                assert self.controls[event.control][1] <= self.now
                self.controls[event.control] = ("lapsed", self.now)
            case _:
                pass

    def is_closed(self, concern: str) -> bool:
        if any(scope in ("all", concern) and (end is None or end > self.now) for scope, end in self.holds.values()):
            return True
        plan = effective_plan(self.state, self.plans)
        if concern == "erasure" or plan is None:
            return False
        said = (self.controls.get(control, ("missing", self.now)) for control in plan.requires)
        return any(status != "compliant" or until <= self.now for status, until in said)

    @invariant()
    def replay_gives_the_live_state(self) -> None:
        assert fold(evolve, INITIAL_STATE, self.events) == self.state

    @invariant()
    def the_state_survives_a_snapshot(self) -> None:
        assert msgspec.json.decode(msgspec.json.encode(self.state), type=TenantState) == self.state

    @invariant()
    def timers_follow_from_what_is_known(self) -> None:
        expected = {f"hold/{name}/hold_expiry": end for name, (_, end) in self.holds.items() if end is not None}
        for name, (status, until) in self.controls.items():
            if status != "lapsed":
                expected[f"control/{name}/attestation_lapse"] = until
        found = {key: timer.due for key, timer in self.state.timers.items() if key.startswith(("hold/", "control/"))}
        assert found == expected

    @invariant()
    def what_is_known_is_what_was_said(self) -> None:
        assert self.state.compliance.holds.keys() == self.holds.keys()
        assert self.state.compliance.controls.keys() == self.controls.keys()


TestComplianceHistory = ComplianceHistory.TestCase
TestComplianceHistory.settings = settings(max_examples=size(short=60, full=600), stateful_step_count=50, deadline=None)
