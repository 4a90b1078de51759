"""
Tells logs and metrics what happened; whoever tells it is never held up and never failed by it.
"""

from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec

from tai_autonomics.application.ports import Answered, Clock
from tai_autonomics.ledger.records import Receipt
from tai_autonomics.telemetry.logs import Logs
from tai_autonomics.telemetry.metrics import Metrics

QUIET_SECONDS: Final = 1.0
"""A failure that repeats within it is counted, and its count is said with the next line: an outage floods no log."""
KINDS_MAX: Final = 1000

_P = ParamSpec("_P")


def _never_raises(tell: "Callable[Concatenate[Telemetry, _P], None]") -> "Callable[Concatenate[Telemetry, _P], None]":
    """An event that cannot be told is counted; the request that it was about goes on."""

    def told(self: "Telemetry", /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            tell(self, *args, **kwargs)
        except Exception:  # noqa: BLE001 (the promise of ports.Observer)
            self.metrics.not_told()

    return told


class Telemetry:
    """The Observer of this process (ports.Observer)."""

    def __init__(self, logs: Logs, metrics: Metrics, clock: Clock) -> None:
        self.logs = logs
        self.metrics = metrics
        self._clock = clock
        self._said: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}
        self._checks: dict[str, str] = {}

    def answered(self, request: Answered) -> None:
        # Not decorated: a call through *args and **kwargs is a seventh of what this costs.
        try:
            self.metrics.answered(request)
            self.logs.answered(request)
        except Exception:  # noqa: BLE001 (the promise of ports.Observer)
            self.metrics.not_told()

    @_never_raises
    def decided(self, command: str, outcome: str, reason: str) -> None:
        self.metrics.decided(command, outcome, reason)

    @_never_raises
    def appended(self, receipts: int, tenants: int, seconds: float) -> None:
        self.metrics.appended(receipts, tenants, seconds)

    @_never_raises
    def sealed(self, type: str) -> None:
        self.metrics.sealed(type)

    @_never_raises
    def conflicted(self) -> None:
        self.metrics.conflicted()

    @_never_raises
    def duplicated(self, count: int) -> None:
        self.metrics.duplicated(count)

    @_never_raises
    def store_failed(self, verb: str) -> None:
        self.metrics.store_failed(verb)
        unsaid = self._unsaid_before(f"store {verb}")
        if unsaid is not None:
            self.logs.log.warning("the store failed", verb=verb, unsaid=unsaid)

    @_never_raises
    def probed(self, check: str, trouble: str) -> None:
        self.metrics.probed(check, ok=not trouble)
        before = self._checks.get(check, "")
        if trouble and not before:
            self.logs.log.warning("a health check fails", check=check, trouble=trouble)
        elif before and not trouble:
            self.logs.log.warning("a health check passes again", check=check)
        self._checks[check] = trouble

    @_never_raises
    def loaded(self, receipts: int, seconds: float) -> None:
        self.metrics.loaded(receipts, seconds)

    @_never_raises
    def went_back(self, tenant: str) -> None:
        self.metrics.went_back()
        unsaid = self._unsaid_before("went_back")
        if unsaid is not None:
            message = "ledger_went_back: the head in the store is behind what was durable"
            self.logs.log.error(message, tenant=tenant, unsaid=unsaid)

    @_never_raises
    def gate_asked(self, gate: str, seconds: float) -> None:
        self.metrics.gate_asked(gate, seconds)

    @_never_raises
    def signals_refused(self, reason: str, count: int) -> None:
        self.metrics.signals_refused(reason, count)

    @_never_raises
    def attempted(self, type: str, outcome: str, seconds: float) -> None:
        self.metrics.attempted(type, outcome, seconds)

    @_never_raises
    def settled(self, type: str, result: str, receipt: Receipt) -> None:
        self.metrics.settled(type, result)
        self.logs.settled(type, result, receipt)

    @_never_raises
    def pushed(self, outcome: str, age_seconds: float | None) -> None:
        self.metrics.pushed(outcome, age_seconds)

    @_never_raises
    def failed(self, what: str, error: BaseException) -> None:
        self.metrics.failed(what)
        unsaid = self._unsaid_before(what)
        if unsaid is not None:
            self.logs.log.error("a background task failed", task=what, error=error, unsaid=unsaid)

    def _unsaid_before(self, kind: str) -> int | None:
        """How many of this kind were counted and not said since its last line; None: count this one too."""
        now = self._clock.monotonic()
        if now - self._said.get(kind, -QUIET_SECONDS) < QUIET_SECONDS:
            self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
            return None
        if len(self._said) >= KINDS_MAX:
            self._said.clear()
            self._unsaid.clear()
        self._said[kind] = now
        return self._unsaid.pop(kind, 0)
