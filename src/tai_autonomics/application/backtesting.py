"""
What other rules would have made of a tenant's recorded signals.

    receipts before `since` --fold--> the state as it was
    receipts from then on   --signals, pauses, what became of entitlements and quotas--> a rehearsal under other plans
                            --what rules did--> compared with what they do in the rehearsal

A message whose signals were all refused left none in its receipt: those are counted and cannot be run again.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec import Struct, field

from tai_autonomics.application.codec import events_of, state_at
from tai_autonomics.application.ports import Store
from tai_autonomics.application.rehearsing import Assumed, Rehearsal, Step
from tai_autonomics.application.tallying import Act, Tallies, acts_of, count
from tai_autonomics.application.transfer import receipts
from tai_autonomics.domain.decider import Refused, fold
from tai_autonomics.domain.governor import (
    GovernorEvent,
    Observe,
    PauseGovernor,
    RefusalBegun,
    RefusalEnded,
    ResumeGovernor,
    Signal,
    SignalObserved,
    SignalRefused,
    parse_value,
)
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.plans import Plans
from tai_autonomics.domain.tenant import Bounds, Event, evolve
from tai_autonomics.ledger.records import Receipt

SIGNAL_REASONS: Final = frozenset({"unknown_metric", "stale", "clock_skew", "entitlement_inactive"})
RESUMED: Final = frozenset({"pause", "breaker", "unknown"})


class Side(Struct):
    """What rules did, and why signals were refused, under some plans."""

    acts: list[Act] = field(default_factory=list)
    rules: Tallies = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=Counter)

    def add(self, events: Iterable[Event]) -> None:
        events = tuple(events)
        self.acts += acts_of(events)
        count(events, self.rules)
        for event in events:
            if isinstance(event, SignalRefused):
                self.refused[event.reason] += 1

    @property
    def warnings(self) -> dict[str, int]:
        return {rule: tally.warnings for rule, tally in self.rules.items() if tally.warnings}


class Backtest(Struct):
    """
    One tenant's. `unrecorded` messages were refused as a whole: what their signals were is not known.

    `archived_until`: receipts from the time that was asked for until then are in an archive, and were not run again.
    """

    tenant: str
    archived_until: Moment | None = None
    signals: int = 0
    unrecorded: int = 0
    recorded: Side = field(default_factory=Side)
    rehearsed: Side = field(default_factory=Side)

    @property
    def gone(self) -> list[Act]:
        """Recorded, and not done in the rehearsal."""
        return _without(self.recorded.acts, self.rehearsed.acts)

    @property
    def new(self) -> list[Act]:
        """Done in the rehearsal, and not recorded."""
        return _without(self.rehearsed.acts, self.recorded.acts)

    @property
    def differs(self) -> bool:
        """In acts, warnings or refused signals; how actions end is assumed, and so does not count."""
        recorded, rehearsed = self.recorded, self.rehearsed
        return bool(
            self.gone or self.new or recorded.warnings != rehearsed.warnings or recorded.refused != rehearsed.refused
        )


async def backtest(
    store: Store, tenant: str, plans: Plans, *, since: Moment, bounds: Bounds, assumed: Assumed
) -> Backtest:
    """Reads the ledger from its beginning, for the state at `since`. Raises LedgerNewerThanCode, StoreUnavailable."""
    base = (await store.bases((tenant,))).get(tenant)
    found, state = Backtest(tenant), state_at(base)
    if base is not None and base.snapshot.time >= since:
        found.archived_until = since = Moment(base.snapshot.time)
    rehearsal: Rehearsal | None = None
    async for receipt in receipts(store, tenant, after=0 if base is None else base.seq):
        events = events_of(receipt)
        if receipt.time < since:
            state = fold(evolve, state, events)
            continue
        if rehearsal is None:
            rehearsal = Rehearsal(plans, bounds=bounds, assumed=assumed, state=state, at=since)
        found.unrecorded += _is_unrecorded(receipt)
        found.recorded.add(events)
        for step in _again(receipt, events, rehearsal, found):
            _add(step, found.rehearsed)
    return found


def _again(receipt: Receipt, events: tuple[Event, ...], rehearsal: Rehearsal, found: Backtest) -> Iterator[Step]:
    at = Moment(receipt.time)
    yield from rehearsal.reach(at)
    signals = tuple(_signals_of(events))
    if signals:
        found.signals += len(signals)
        yield from rehearsal.take(Observe(signals), at)
    if receipt.type != "transition":
        return
    # What an action did to its tenant is in its result: here only what others did is left.
    rehearsal.apply(event for event in events if not isinstance(event, GovernorEvent))
    for event in events:
        match event:
            case RefusalBegun("pause"):
                yield from rehearsal.take(PauseGovernor(), at)
            case RefusalEnded(causes) if RESUMED.intersection(causes):
                yield from rehearsal.take(ResumeGovernor(), at)
            case _:
                continue


def _signals_of(events: Iterable[Event]) -> Iterator[Signal]:
    for event in events:
        if isinstance(event, SignalObserved | SignalRefused):
            yield Signal(event.metric, parse_value(event.value), event.observed_at, event.labels)


def _add(step: Step, side: Side) -> None:
    side.add(step.events)
    if isinstance(step.outcome, Refused) and isinstance(step.command, Observe):
        side.refused[step.outcome.reason] += len(step.command.signals)


class _Refusal(Struct):
    reason: str


class _Body(Struct):
    refusal: _Refusal


_bodies: Final = msgspec.json.Decoder(_Body)


def _is_unrecorded(receipt: Receipt) -> bool:
    """Whether it refuses a whole message of signals: no other command of a governor is refused so."""
    if receipt.type != "refusal" or receipt.subject_kind != "governor":
        return False
    return _bodies.decode(receipt.body).refusal.reason in SIGNAL_REASONS


def _without(acts: list[Act], others: list[Act]) -> list[Act]:
    return sorted((Counter(acts) - Counter(others)).elements())
