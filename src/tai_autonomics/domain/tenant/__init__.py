"""
The governors of one tenant side by side, behind the gates.

    command --> gates, in order --> its governor --> events (Accepted) or a reason (Refused) --> state

`decide` answers, `evolve` applies; nothing else changes a tenant.

    deciding   the answer to one command           checking   what it would be, without deciding
    └── asking     the gates, about this tenant  ──────┘
    evolving   what each event leaves              elapsing   which timer is next, and what all that are due leave
    └── timers, state ────────────────────────────────┘
    commands, events: the words
"""

from tai_autonomics.domain.decider import name_of
from tai_autonomics.domain.tenant.asking import effective_plan
from tai_autonomics.domain.tenant.checking import Check, CheckResult, Limit, check, when_stale
from tai_autonomics.domain.tenant.commands import Command, Erase
from tai_autonomics.domain.tenant.deciding import Bounds, Decision, Subject, decide
from tai_autonomics.domain.tenant.elapsing import after_timers, next_timer
from tai_autonomics.domain.tenant.events import EffectivePlanChanged, Event, PartErased
from tai_autonomics.domain.tenant.evolving import evolve
from tai_autonomics.domain.tenant.state import INITIAL_STATE, TenantState
from tai_autonomics.domain.tenant.timers import SetTimer, SettleTimer, Timer, due_of

__all__ = [
    "INITIAL_STATE",
    "Bounds",
    "Check",
    "CheckResult",
    "Command",
    "Decision",
    "EffectivePlanChanged",
    "Erase",
    "Event",
    "Limit",
    "PartErased",
    "SetTimer",
    "SettleTimer",
    "Subject",
    "TenantState",
    "Timer",
    "after_timers",
    "check",
    "decide",
    "due_of",
    "effective_plan",
    "evolve",
    "name_of",
    "next_timer",
    "when_stale",
]
