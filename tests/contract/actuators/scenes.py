"""
An actuator with the side that it reaches, which a test can make fail; an adapter joins by one class.

Each is made by `async with`. What `effects` tells are the different things that were done outside, by their keys.
"""

import asyncio
import json
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from types import TracebackType
from typing import Any, Final, Protocol, Self

import grpc
from tests.builders import action
from tests.engines import cloud_run, pubsub, receiver
from tests.engines.proxy import Proxy

from tai_autonomics.actuators.addresses import Network
from tai_autonomics.actuators.cloud_run import CloudRunRollback, CloudRunScale
from tai_autonomics.actuators.cloud_run.services import Services
from tai_autonomics.actuators.inside import Inside
from tai_autonomics.actuators.names import Place
from tai_autonomics.actuators.pubsub import PubSubActuator
from tai_autonomics.actuators.webhook import Policy, WebhookActuator
from tai_autonomics.application.ports import Actuator
from tai_autonomics.domain.actions import (
    Action,
    Order,
    Publish,
    Rollback,
    Scale,
    SuspendEntitlements,
    Throttle,
    Webhook,
)

SECRET: Final = b"a secret of thirty-two bytes, no"
LOOPBACK: Final[tuple[Network, ...]] = (ip_network("127.0.0.0/8"),)
SERVICE: Final = "projects/acme-prod/locations/europe-west1/services/api"
PLACE: Final = Place("acme-prod", "europe-west1")


class Standing:
    """A clock that stands, at the moment of its making: the public library verifies by the machine's."""

    def __init__(self) -> None:
        self._now = datetime.now(UTC)

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return 0.0

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


class Scene(Protocol):
    actuator: Actuator
    action: Action

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...

    async def effects(self) -> list[str]: ...


class Reaching(Scene, Protocol):
    """One whose other side can fail."""

    async def refuse_for_now(self) -> None: ...

    async def refuse_for_good(self) -> None: ...

    async def take_and_be_silent(self) -> None:
        """The next attempt arrives, may have its effect, and is never answered."""
        ...

    async def arrived(self) -> None:
        """When that attempt has."""
        ...

    async def answer_again(self) -> None: ...

    async def left(self) -> None:
        """When the other side sees nobody any more."""
        ...


class _Stacked:
    def __init__(self) -> None:
        self._stack = AsyncExitStack()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._stack.aclose()


class WebhookScene(_Stacked):
    async def __aenter__(self) -> Self:
        self._receiver = await self._stack.enter_async_context(receiver.Receiver())
        self.actuator: Actuator = WebhookActuator(Policy({"*": (SECRET,)}, LOOPBACK), Standing())
        self._stack.push_async_callback(self.actuator.aclose)
        self.action = action(Webhook(self._receiver.url))
        return self

    async def effects(self) -> list[str]:
        done = {(each.headers["webhook-id"], each.body) for each in self._receiver.requests}
        return [key for key, _ in done]

    async def refuse_for_now(self) -> None:
        self._receiver.answer = receiver.status(503)

    async def refuse_for_good(self) -> None:
        self._receiver.answer = receiver.status(410)

    async def take_and_be_silent(self) -> None:
        self._receiver.answer = receiver.silence

    async def arrived(self) -> None:
        await self._receiver.arrived.wait()

    async def answer_again(self) -> None:
        self._receiver.answer = receiver.status(204)

    async def left(self) -> None:
        await self._receiver.closed()


class PubSubScene(_Stacked):
    async def __aenter__(self) -> Self:
        self._topic = await pubsub.Topic().create()
        self._stack.push_async_callback(self._topic.aclose)
        self._proxy = await self._stack.enter_async_context(Proxy(pubsub.emulator().port))
        self.actuator: Actuator = await PubSubActuator.open(PLACE, emulator=f"127.0.0.1:{self._proxy.port}")
        self._stack.push_async_callback(self.actuator.aclose)
        self.action = action(Publish(self._topic.name))
        return self

    async def effects(self) -> list[str]:
        # A message of our own behind all others: what it follows has been published, and nothing else was.
        await self._topic.publish(b"last")
        found: list[bytes] = []
        while b"last" not in found:
            found += [each.data for each in await self._topic.messages()]
        return [json.loads(each)["id"] for each in set(found) - {b"last"}]

    async def refuse_for_now(self) -> None:
        self._proxy.close()

    async def refuse_for_good(self) -> None:
        await self._topic.delete()

    async def take_and_be_silent(self) -> None:
        # A connection stands before it is held, so that the message is sent.
        warm_up = action(self.action.order, id="warm-up")
        target = await self.actuator.resolve(warm_up)
        assert isinstance(target, dict)
        await self.actuator.attempt(warm_up, {**target, "topic": f"projects/{self._topic.project}/topics/none"}, 20)
        self._proxy.arm("down", 1, "hold")

    async def arrived(self) -> None:
        await self._proxy.struck.wait()

    async def answer_again(self) -> None:
        self._proxy.heal()

    async def left(self) -> None:
        """Nothing to see: the connection stays, for the next attempt."""


class _CloudRunScene(_Stacked):
    order: Order
    kind: type[CloudRunScale | CloudRunRollback]

    async def __aenter__(self) -> Self:
        self.double = await self._stack.enter_async_context(cloud_run.CloudRun())
        self.double.deploy(SERVICE, minimum=2)
        services = await Services.open(emulator=self.double.address)
        self.actuator: Actuator = self.kind(services, PLACE)
        self._stack.push_async_callback(self.actuator.aclose)
        self.action = action(self.order)
        return self

    async def effects(self) -> list[str]:
        return [self.action.id] if self.double.services[SERVICE].etag != '"1"' else []

    async def refuse_for_now(self) -> None:
        self.double.before["UpdateService"] = [cloud_run.refusing(grpc.StatusCode.RESOURCE_EXHAUSTED)]

    async def refuse_for_good(self) -> None:
        self.double.before["UpdateService"] = [cloud_run.refusing(grpc.StatusCode.PERMISSION_DENIED)]

    async def take_and_be_silent(self) -> None:
        self.double.after["UpdateService"] = [cloud_run.hanging]

    async def arrived(self) -> None:
        while "UpdateService" not in self.double.calls:
            await self.double.arrived.wait()
            self.double.arrived.clear()

    async def answer_again(self) -> None:
        self.double.after.clear()

    async def left(self) -> None:
        while self.double.under_way:
            await asyncio.sleep(0)


class ScaleScene(_CloudRunScene):
    order, kind = Scale("api", step=1, max=10), CloudRunScale


class RollbackScene(_CloudRunScene):
    order, kind = Rollback("api"), CloudRunRollback


class _InsideScene(_Stacked):
    order: Order

    async def __aenter__(self) -> Self:
        self.actuator: Actuator = Inside(Standing())
        self.action = action(self.order)
        return self

    async def effects(self) -> list[str]:
        return []


class ThrottleScene(_InsideScene):
    order = Throttle(requests=10, per_seconds=1, for_seconds=600)


class SuspendScene(_InsideScene):
    order = SuspendEntitlements()


OUTSIDE: Final[dict[str, type[Any]]] = {
    "webhook": WebhookScene,
    "pubsub.publish": PubSubScene,
    "cloud_run.scale": ScaleScene,
    "cloud_run.rollback": RollbackScene,
}
EVERY: Final = {**OUTSIDE, "throttle": ThrottleScene, "entitlement.suspend": SuspendScene}
