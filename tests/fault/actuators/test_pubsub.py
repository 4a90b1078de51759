"""Events on Google's emulator of Pub/Sub, and what is known when it refuses them or breaks off."""

import json
from collections.abc import AsyncIterator, Mapping

import pytest
from google.cloud.pubsub_v1.open_telemetry.context_propagation import OpenTelemetryContextGetter
from tests.builders import action
from tests.engines import pubsub
from tests.engines.ports import free_port
from tests.engines.proxy import Proxy

from tai_autonomics.actuators.names import Place
from tai_autonomics.actuators.pubsub import PubSubActuator
from tai_autonomics.application.ports import NO_HEADERS, Done, NotDone, Uncertain
from tai_autonomics.domain.actions import Publish

pytestmark = pytest.mark.anyio

SECONDS = 20.0


@pytest.fixture
async def topic() -> AsyncIterator[pubsub.Topic]:
    made = await pubsub.Topic().create()
    yield made
    await made.aclose()


async def sent(
    name: str, place: Place, address: str, trace: Mapping[str, str] = NO_HEADERS
) -> Done | NotDone | Uncertain:
    actuator = await PubSubActuator.open(place, emulator=address)
    try:
        wanted = action(Publish(name))
        target = await actuator.resolve(wanted)
        return target if isinstance(target, NotDone) else await actuator.attempt(wanted, target, SECONDS, trace)
    finally:
        await actuator.aclose()


async def test_the_message_is_a_cloud_event_whose_id_is_the_actions(topic: pubsub.Topic) -> None:
    outcome = await sent("actions", Place(topic.project), pubsub.emulator().address)
    (message,) = await topic.messages()
    wanted = action(Publish("actions"))
    assert outcome == Done(f"published as message {message.message_id}")
    assert dict(message.attributes) == {"content-type": "application/cloudevents+json"}
    assert json.loads(message.data) == {
        "specversion": "1.0",
        "id": wanted.id,
        "source": "/tai-autonomics/tenants/acme",
        "type": "tai.action.requested",
        "subject": "cpu-high",
        "time": wanted.requested_at,
        "datacontenttype": "application/json",
        "data": {
            "action_id": wanted.id,
            "tenant": "acme",
            "rule": "cpu-high",
            "metric": "cpu_utilization",
            "value": "91.5",
            "requested_at": wanted.requested_at,
            "deadline": wanted.deadline,
        },
    }


async def test_a_subscriber_with_googles_client_finds_the_trace_where_it_looks(topic: pubsub.Topic) -> None:
    trace = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "vendor=1"}
    await sent("actions", Place(topic.project), pubsub.emulator().address, trace)
    (message,) = await topic.messages()
    found = OpenTelemetryContextGetter()
    assert {name: found.get(message, name) for name in trace} == {name: [value] for name, value in trace.items()}


async def test_a_topic_that_is_not_there_is_not_done_for_good(topic: pubsub.Topic) -> None:
    outcome = await sent("missing", Place(topic.project), pubsub.emulator().address)
    assert isinstance(outcome, NotDone)
    assert (outcome.temporary, outcome.detail[:26]) == (False, "Google answered NOT_FOUND:")


async def test_a_bare_topic_without_a_project_says_which_setting_is_missing() -> None:
    outcome = await sent("actions", Place(), f"127.0.0.1:{free_port()}")
    assert outcome == NotDone("the topic has a bare name, and GCP_PROJECT_ID is not set", temporary=False)


async def test_a_pubsub_that_cannot_be_connected_to_is_temporary_at_once(topic: pubsub.Topic) -> None:
    outcome = await sent(topic.name, Place(), f"127.0.0.1:{free_port()}")
    assert outcome == NotDone("Pub/Sub cannot be connected to", temporary=True)


async def test_a_connection_that_breaks_after_the_message_leaves_it_uncertain(topic: pubsub.Topic) -> None:
    async with Proxy(pubsub.emulator().port) as proxy:
        actuator = await PubSubActuator.open(Place(), emulator=f"127.0.0.1:{proxy.port}")
        wanted = action(Publish(topic.name))
        target = await actuator.resolve(wanted)
        assert isinstance(target, dict)
        assert isinstance(await actuator.attempt(wanted, target, SECONDS), Done)
        proxy.arm("down", 1, "reset")
        outcome = await actuator.attempt(wanted, target, SECONDS)
        assert isinstance(outcome, Uncertain)
        assert outcome.detail.startswith("Google answered UNAVAILABLE:")
        assert isinstance(await actuator.attempt(wanted, target, SECONDS), Done)
        await actuator.aclose()
    bodies = {each.data for each in await topic.messages()}
    assert len(bodies) == 1
