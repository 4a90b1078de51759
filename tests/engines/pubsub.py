"""Google's Pub/Sub emulator: started once, with a project of its own for every test."""

import atexit
from functools import cache

import grpc
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport
from google.pubsub_v1.types import PubsubMessage
from tests.engines import emulator as emulators
from tests.engines.emulator import new_project


class Emulator(emulators.Emulator):
    engine = "the Pub/Sub emulator"

    def command(self) -> list[str]:
        program = emulators.jar(
            self.engine,
            variable="PUBSUB_EMULATOR_JAR",
            pattern="platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar",
            component="pubsub-emulator",
        )
        return ["java", "-Xmx256m", "-jar", str(program)]


@cache
def emulator() -> Emulator:
    """The session's; do not kill it."""
    started = Emulator().start()
    atexit.register(started.stop)
    return started


class Topic:
    """A topic with a subscription, in a project that no test had before. Close it with `aclose`."""

    def __init__(self) -> None:
        project = new_project()
        self.project, self.name = project, f"projects/{project}/topics/actions"
        self._subscription = f"projects/{project}/subscriptions/reader"
        self._channel = grpc.aio.insecure_channel(emulator().address)
        self._publisher = PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=self._channel))
        self._subscriber = SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=self._channel))

    async def create(self) -> "Topic":
        await self._publisher.create_topic(name=self.name)
        await self._subscriber.create_subscription(name=self._subscription, topic=self.name)
        return self

    async def publish(self, data: bytes) -> None:
        await self._publisher.publish(topic=self.name, messages=[PubsubMessage(data=data)])

    async def delete(self) -> None:
        await self._publisher.delete_topic(topic=self.name)

    async def messages(self) -> list[PubsubMessage]:
        """What is there and was not told before; waits for one at least."""
        while True:
            answer = await self._subscriber.pull(subscription=self._subscription, max_messages=100, timeout=20)
            if answer.received_messages:
                acks = [each.ack_id for each in answer.received_messages]
                await self._subscriber.acknowledge(subscription=self._subscription, ack_ids=acks)
                return [each.message for each in answer.received_messages]

    async def aclose(self) -> None:
        await self._channel.close()
