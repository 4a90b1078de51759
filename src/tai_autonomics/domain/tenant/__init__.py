"""
The governors of one tenant side by side, behind the gates.

    command --> gates, in order --> its governor --> events (Accepted) or a reason (Refused) --> state

`decide` answers, `evolve` applies; nothing else changes a tenant.

    deciding   the answer to one command           checking   what it would be, without deciding
    ├── governing  ... of the autonomic governor       |
    ├── complying  ... of the compliance governor      |
    └── asking     the gates, about this tenant  ──────┘
    evolving   what each event leaves              elapsing   which timer is next, and what all that are due leave
    └── timers, state ────────────────────────────────┘
    commands, events, decisions: the words
"""

from tai_autonomics.domain.decider import name_of
from tai_autonomics.domain.tenant.asking import effective_plan
from tai_autonomics.domain.tenant.checking import Check, CheckResult, Limit, check, when_stale
from tai_autonomics.domain.tenant.commands import Archive, Command, Erase, NoteExport, Restore, TimerCommand
from tai_autonomics.domain.tenant.deciding import decide, may_archive
from tai_autonomics.domain.tenant.decisions import Bounds, Decision, Subject
from tai_autonomics.domain.tenant.elapsing import after_timers, next_timer, standing
from tai_autonomics.domain.tenant.events import (
    AuditExported,
    EffectivePlanChanged,
    Event,
    LedgerArchived,
    LedgerRestored,
    PartErased,
    RestoredHead,
)
from tai_autonomics.domain.tenant.evolving import evolve
from tai_autonomics.domain.tenant.state import INITIAL_STATE, TenantState, throttle_in_force
from tai_autonomics.domain.tenant.timers import (
    TIMER_KINDS,
    SetEffect,
    SetTimer,
    SettleEffect,
    SettleTimer,
    Timer,
    due_of,
    subject_of,
    subject_of_action,
)

__all__ = [
    "INITIAL_STATE",
    "TIMER_KINDS",
    "Archive",
    "AuditExported",
    "Bounds",
    "Check",
    "CheckResult",
    "Command",
    "Decision",
    "EffectivePlanChanged",
    "Erase",
    "Event",
    "LedgerArchived",
    "LedgerRestored",
    "Limit",
    "NoteExport",
    "PartErased",
    "Restore",
    "RestoredHead",
    "SetEffect",
    "SetTimer",
    "SettleEffect",
    "SettleTimer",
    "Subject",
    "TenantState",
    "Timer",
    "TimerCommand",
    "after_timers",
    "check",
    "decide",
    "due_of",
    "effective_plan",
    "evolve",
    "may_archive",
    "name_of",
    "next_timer",
    "standing",
    "subject_of",
    "subject_of_action",
    "throttle_in_force",
    "when_stale",
]
