"""What is done to the rule's own tenant, in its ledger: the recorded result makes it true."""

from collections.abc import Mapping

from tai_autonomics.application.ports import NO_HEADERS, Clock, Done, NotDone, Target, Uncertain
from tai_autonomics.domain.actions import Action, SuspendEntitlements, Throttle
from tai_autonomics.domain.moments import moment_of, plus_seconds


class Inside:
    """`throttle` and `entitlement.suspend`: the Actuator whose every attempt is done at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def resolve(self, action: Action) -> Target | NotDone:
        """A throttle's end is counted from now: it may have waited for an approval."""
        match action.order:
            case Throttle(requests, per_seconds, for_seconds):
                until = plus_seconds(moment_of(self._clock.now()), for_seconds)
                return {"requests": requests, "per_seconds": per_seconds, "until": until}
            case SuspendEntitlements():
                return {"entitlements": "in_service"}
            case _:
                raise AssertionError(f"action {action.id} reaches outside")

    async def attempt(
        self, action: Action, target: Target, seconds: float, trace: Mapping[str, str] = NO_HEADERS
    ) -> Done | NotDone | Uncertain:
        return Done("decided in the tenant's own ledger")

    async def aclose(self) -> None:
        return None
