"""
All traffic of a service to the ready revision before the newest that has any; tags stay, without traffic.

The target names both revisions: when the traffic has moved on meanwhile (to a repair, say), it stays there.
"""

from collections.abc import Iterable, Mapping, Sequence

from google.cloud.run_v2.types import (
    Condition,
    Revision,
    Service,
    TrafficTarget,
    TrafficTargetAllocationType,
    TrafficTargetStatus,
)

from tai_autonomics.actuators.cloud_run.services import Services, read_within
from tai_autonomics.actuators.names import Place
from tai_autonomics.actuators.names import service as full_name
from tai_autonomics.application.ports import NO_HEADERS, Done, NotDone, Target, Uncertain
from tai_autonomics.domain.actions import Action, Rollback

REVISION = TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION


class _Traffic:
    """The Change of all traffic to `revision`, away from `was`, which was the newest that had any."""

    mask = "traffic"

    def __init__(self, *, revision: str, was: str) -> None:
        self._revision, self._was = revision, was

    def is_asked(self, service: Service) -> bool:
        return [(each.type_, each.revision) for each in service.traffic if each.percent] == [(REVISION, self._revision)]

    def is_observed(self, service: Service) -> bool:
        return _with_traffic(service.traffic_statuses) == {self._revision}

    def by_another(self, service: Service) -> str | None:
        serving = _with_traffic(service.traffic_statuses)
        return (
            None if self._was in serving else f"the traffic has moved on to {', '.join(sorted(serving)) or 'nothing'}"
        )

    def fill(self, wanted: Service, service: Service) -> None:
        tags = [
            TrafficTarget(type_=each.type_, revision=each.revision, tag=each.tag)
            for each in service.traffic
            if each.tag
        ]
        wanted.traffic = [TrafficTarget(type_=REVISION, revision=self._revision, percent=100), *tags]


class CloudRunRollback:
    """Does `cloud_run.rollback` actions. Close it with `aclose`."""

    def __init__(self, services: Services, place: Place) -> None:
        self._services, self._place = services, place

    @classmethod
    async def open(cls, place: Place) -> "CloudRunRollback":
        """Raises InvalidSetting where Google's credentials cannot be found. Connects with the first call."""
        return cls(await Services.open(), place)

    async def resolve(self, action: Action) -> Target | NotDone:
        assert isinstance(action.order, Rollback), f"action {action.id} does not roll back"
        try:
            name = full_name(action.order.service, self._place)
        except ValueError as error:
            return NotDone(str(error), temporary=False)
        return await read_within(action.timeout_seconds, self._find_target(name))

    async def _find_target(self, name: str) -> Target | NotDone:
        service = await self._services.read(name)
        return _target(service, await self._services.revisions(name))

    async def attempt(
        self, action: Action, target: Target, seconds: float, trace: Mapping[str, str] = NO_HEADERS
    ) -> Done | NotDone | Uncertain:
        change = _Traffic(revision=str(target["revision"]), was=str(target["was"]))
        return await self._services.make(str(target["service"]), change, seconds)

    async def aclose(self) -> None:
        await self._services.aclose()


def _target(service: Service, newest_first: Sequence[Revision]) -> Target | NotDone:
    serving = _with_traffic(service.traffic_statuses)
    names = [_short(each.name) for each in newest_first]
    newest = next((place for place, name in enumerate(names) if name in serving), None)
    if newest is None:
        return NotDone("no revision of the service has traffic", temporary=False)
    before = next((_short(each.name) for each in newest_first[newest + 1 :] if _is_ready(each)), None)
    if before is None:
        return NotDone(f"no ready revision is older than {names[newest]}", temporary=False)
    return {"service": service.name, "revision": before, "was": names[newest]}


def _with_traffic(statuses: Iterable[TrafficTargetStatus]) -> set[str]:
    return {_short(each.revision) for each in statuses if each.percent}


def _is_ready(revision: Revision) -> bool:
    ready = (each.state for each in revision.conditions if each.type_ == "Ready")
    return next(ready, None) == Condition.State.CONDITION_SUCCEEDED


def _short(name: str) -> str:
    return name.rpartition("/")[2]
