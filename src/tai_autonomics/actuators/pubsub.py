"""
CloudEvents on a Pub/Sub topic, in the JSON format (structured content mode of Google's Pub/Sub binding).

Pub/Sub keeps every message that it is given: what makes a second attempt harmless is that it bears the same event id.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import grpc  # type: ignore[import-untyped]
import msgspec
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.types import PublishRequest, PubsubMessage

from tai_autonomics.actuators import google_calls
from tai_autonomics.actuators.names import Place, topic
from tai_autonomics.actuators.telling import EVENT_TYPE, facts, within_bounds
from tai_autonomics.application.ports import NO_HEADERS, Done, NotDone, Target, Uncertain
from tai_autonomics.domain.actions import Action, Publish

CONTENT_TYPE: Final = "application/cloudevents+json"
TRACE_PREFIX: Final = "googclient_"
"""Before the names of a trace's headers among a message's attributes: subscribers with Google's clients look there."""


class PubSubActuator:
    """Does `pubsub.publish` actions. Close it with `aclose`."""

    def __init__(self, channel: grpc.aio.Channel, place: Place) -> None:
        self._channel, self._place = channel, place
        self._client = PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=channel))

    @classmethod
    async def open(cls, place: Place, *, emulator: str | None = None) -> "PubSubActuator":
        """Raises InvalidSetting where Google's credentials cannot be found. Connects with the first attempt."""
        host = PublisherGrpcAsyncIOTransport.DEFAULT_HOST
        return cls(await google_calls.open_channel(host, emulator=emulator), place)

    async def resolve(self, action: Action) -> Target | NotDone:
        assert isinstance(action.order, Publish), f"action {action.id} does not publish"
        try:
            full_name = topic(action.order.topic, self._place)
        except ValueError as error:
            return NotDone(str(error), temporary=False)
        event = {
            "specversion": "1.0",
            "id": action.id,
            "source": f"/tai-autonomics/tenants/{action.tenant}",
            "type": EVENT_TYPE,
            "subject": action.rule,
            "time": action.requested_at,
            "datacontenttype": "application/json",
            "data": facts(action),
        }
        return within_bounds({"topic": full_name, "event": msgspec.json.encode(event).decode()})

    async def attempt(
        self, action: Action, target: Target, seconds: float, trace: Mapping[str, str] = NO_HEADERS
    ) -> Done | NotDone | Uncertain:
        traced = {TRACE_PREFIX + name: value for name, value in trace.items()}
        attributes = {"content-type": CONTENT_TYPE, **traced}
        message = PubsubMessage(data=str(target["event"]).encode(), attributes=attributes)
        request = PublishRequest(topic=str(target["topic"]), messages=[message])
        is_sent = False
        try:
            async with asyncio.timeout(seconds):
                if not await google_calls.is_connected(self._channel):
                    return NotDone("Pub/Sub cannot be connected to", temporary=True)
                is_sent = True
                response = await self._client.publish(request=request, retry=None, timeout=seconds)
        except TimeoutError:
            why = f"Pub/Sub did not answer within {seconds:g} s"
            return Uncertain(why) if is_sent else NotDone(why, temporary=True)
        except google_calls.ERRORS as error:
            return google_calls.of_writing(error)
        return Done(f"published as message {response.message_ids[0]}")

    async def aclose(self) -> None:
        await self._channel.close()
