"""
The least instances of a service: its own minimum, not a revision's, so that no revision is made by it.

The target names the number that was found: when another hand has set a third one meanwhile, it stays.
"""

from collections.abc import Mapping

from google.cloud.run_v2.types import Service, ServiceScaling

from tai_autonomics.actuators.cloud_run.services import Services, read_within
from tai_autonomics.actuators.names import Place
from tai_autonomics.actuators.names import service as full_name
from tai_autonomics.application.ports import NO_HEADERS, Done, NotDone, Target, Uncertain
from tai_autonomics.domain.actions import Action, Scale


class _Minimum:
    """The Change of the service's minimum from `was` to `instances`."""

    mask = "scaling.min_instance_count"

    def __init__(self, *, instances: int, was: int) -> None:
        self._instances, self._was = instances, was

    def is_asked(self, service: Service) -> bool:
        return bool(service.scaling.min_instance_count == self._instances)

    def is_observed(self, service: Service) -> bool:
        # Cloud Run does not tell how many there are: what it accepted and finished is what there is.
        return True

    def by_another(self, service: Service) -> str | None:
        now = service.scaling.min_instance_count
        return None if now == self._was else f"the minimum was {self._was}, and somebody else has made it {now}"

    def fill(self, wanted: Service, service: Service) -> None:
        wanted.scaling = ServiceScaling(min_instance_count=self._instances)


class CloudRunScale:
    """Does `cloud_run.scale` actions. Close it with `aclose`."""

    def __init__(self, services: Services, place: Place) -> None:
        self._services, self._place = services, place

    @classmethod
    async def open(cls, place: Place) -> "CloudRunScale":
        """Raises InvalidSetting where Google's credentials cannot be found. Connects with the first call."""
        return cls(await Services.open(), place)

    async def resolve(self, action: Action) -> Target | NotDone:
        order = action.order
        assert isinstance(order, Scale), f"action {action.id} does not scale"
        try:
            name = full_name(order.service, self._place)
        except ValueError as error:
            return NotDone(str(error), temporary=False)
        service = await read_within(action.timeout_seconds, self._services.read(name))
        if isinstance(service, NotDone):
            return service
        if service.scaling.scaling_mode == ServiceScaling.ScalingMode.MANUAL:
            return NotDone("the service is scaled by hand (manual scaling)", temporary=False)
        was = service.scaling.min_instance_count
        instances = min(max(was + order.step, order.min), order.max)
        if (instances - was) * order.step < 0:
            # Somebody has left the bounds on purpose; moving into them would go against the rule's own direction.
            return NotDone(f"the minimum is {was}, outside of {order.min} to {order.max}", temporary=False)
        return {"service": name, "min_instances": instances, "was": was}

    async def attempt(
        self, action: Action, target: Target, seconds: float, trace: Mapping[str, str] = NO_HEADERS
    ) -> Done | NotDone | Uncertain:
        change = _Minimum(instances=int(target["min_instances"]), was=int(target["was"]))
        return await self._services.make(str(target["service"]), change, seconds)

    async def aclose(self) -> None:
        await self._services.aclose()
