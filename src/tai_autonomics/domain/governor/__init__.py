"""
The autonomic governor: what is measured of a tenant, and what is done about it.

    boot --first signal--> stable --warn--> warning --clear--> stable
                             \\--act--> intervening <--act--/
                                           \\--settled--> stable
    any --pause, breaker, unknown, budget, hold--> refusing --resume, or budget or hold over--> stable, or intervening

At most one action is in flight; a pause does not end it. While it is, signals move windows and no rule acts; when it is
settled, every rule is asked once. Nothing is dropped.

    deciding        may this be asked now, and what does it mean
    ├── observing      signals move windows
    │   └── evaluating     what the rules say, and do, within cool-downs and budget
    │       └── windows        what a rule sees
    ├── acting         the action in flight
    ├── refusing       what stops the rules, and what lets them go on
    └── refusals       why not, and what the caller can do
    evolving        what each event leaves
    throttling      what is left of a throttle in its present window
    commands, events, states, signals: the words
"""

from tai_autonomics.domain.governor.acting import LEASE_MARGIN_SECONDS, restored
from tai_autonomics.domain.governor.commands import (
    ActionCommand,
    ActionTimer,
    ApproveAction,
    BeginAttempt,
    CancelAction,
    DenyAction,
    EndBudget,
    EndThrottle,
    GiveUp,
    GovernorCommand,
    GovernorTimer,
    LapseApproval,
    LoseAttempt,
    Observe,
    PassDeadline,
    PauseGovernor,
    ReportResult,
    ResumeGovernor,
    UngatedCommand,
)
from tai_autonomics.domain.governor.deciding import budget_use, decide, elapse
from tai_autonomics.domain.governor.evaluating import Surroundings, hold_noted, reconsider, refusing_until
from tai_autonomics.domain.governor.events import (
    ActionApproved,
    ActionAttempted,
    ActionRequested,
    ActionSettled,
    AttemptEnded,
    GovernorEvent,
    Grounds,
    LateResultRecorded,
    RefusalBegun,
    RefusalEnded,
    RuleEvaluated,
    RulesForgotten,
    SignalObserved,
    SignalRefused,
    ThrottleEnded,
    ThrottleSet,
    WindowSeen,
    WouldHaveActed,
)
from tai_autonomics.domain.governor.evolving import evolve
from tai_autonomics.domain.governor.refusals import signal as signal_refusal
from tai_autonomics.domain.governor.signals import Signal, parse_labels, parse_value, split, text_of
from tai_autonomics.domain.governor.states import (
    ENDED_BY_RESUME,
    INITIAL_STATE,
    ApprovalWanted,
    GovernorState,
    InFlight,
    LostAttempt,
    Measured,
    Refusing,
    RuleState,
    Sample,
    Stage,
    Status,
    Throttled,
    TimerKind,
    action_of,
    rule_state_of,
    stage_of,
    status_of,
)
from tai_autonomics.domain.governor.throttling import asked_more, throttle_use

__all__ = [
    "ENDED_BY_RESUME",
    "INITIAL_STATE",
    "LEASE_MARGIN_SECONDS",
    "ActionApproved",
    "ActionAttempted",
    "ActionCommand",
    "ActionRequested",
    "ActionSettled",
    "ActionTimer",
    "ApprovalWanted",
    "ApproveAction",
    "AttemptEnded",
    "BeginAttempt",
    "CancelAction",
    "DenyAction",
    "EndBudget",
    "EndThrottle",
    "GiveUp",
    "GovernorCommand",
    "GovernorEvent",
    "GovernorState",
    "GovernorTimer",
    "Grounds",
    "InFlight",
    "LapseApproval",
    "LateResultRecorded",
    "LoseAttempt",
    "LostAttempt",
    "Measured",
    "Observe",
    "PassDeadline",
    "PauseGovernor",
    "RefusalBegun",
    "RefusalEnded",
    "Refusing",
    "ReportResult",
    "ResumeGovernor",
    "RuleEvaluated",
    "RuleState",
    "RulesForgotten",
    "Sample",
    "Signal",
    "SignalObserved",
    "SignalRefused",
    "Stage",
    "Status",
    "Surroundings",
    "ThrottleEnded",
    "ThrottleSet",
    "Throttled",
    "TimerKind",
    "UngatedCommand",
    "WindowSeen",
    "WouldHaveActed",
    "action_of",
    "asked_more",
    "budget_use",
    "decide",
    "elapse",
    "evolve",
    "hold_noted",
    "parse_labels",
    "parse_value",
    "reconsider",
    "refusing_until",
    "restored",
    "rule_state_of",
    "signal_refusal",
    "split",
    "stage_of",
    "status_of",
    "text_of",
    "throttle_use",
]
