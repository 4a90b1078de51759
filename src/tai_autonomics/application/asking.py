"""How long gates take: of one decision in sixteen, for every gate asked costs a read of the clock before and after."""

from collections.abc import Callable
from typing import Final, ParamSpec

from tai_autonomics.application.clock import SealingClock
from tai_autonomics.application.ports import Observer
from tai_autonomics.domain.gates import Ask, Failed, Passed, plainly

TIMED: Final = 16
"""One decision in so many, the first of a process included."""

P = ParamSpec("P")


class Asking:
    """Says for each decision how its gates are asked."""

    def __init__(self, clock: SealingClock, observer: Observer) -> None:
        self._clock, self._observer = clock, observer
        self._decisions = 0

    def next(self) -> Ask:
        """For the decision that comes now."""
        timed = self._decisions % TIMED == 0
        self._decisions += 1
        return self._timed if timed else plainly

    def _timed(self, gate: Callable[P, Passed | Failed], /, *args: P.args, **kwargs: P.kwargs) -> Passed | Failed:
        started = self._clock.monotonic()
        answer = gate(*args, **kwargs)
        self._observer.gate_asked(answer.gate, self._clock.monotonic() - started)
        return answer
