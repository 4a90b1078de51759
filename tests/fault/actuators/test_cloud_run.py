"""Cloud Run's services as others change them, refuse them, or are slow about them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.cloud.run_v2.types import Condition, ServiceScaling, TrafficTarget
from tests.builders import action
from tests.contract.actuators.scenes import PLACE, SERVICE
from tests.engines.cloud_run import LATEST, REVISION, Before, CloudRun, failed, refusing
from tests.engines.ports import free_port

from tai_autonomics.actuators.cloud_run import CloudRunRollback, CloudRunScale
from tai_autonomics.actuators.cloud_run.services import Services
from tai_autonomics.application.ports import Done, NotDone, Target, Uncertain
from tai_autonomics.domain.actions import Order, Rollback, Scale

pytestmark = pytest.mark.anyio

SECONDS, SHORT = 20.0, 0.6
UP = Scale("api", step=1, max=10)
BACK = Rollback("api")

Code = grpc.StatusCode


class Operator:
    """Resolves and attempts orders through the real client."""

    def __init__(self, double: CloudRun, services: Services) -> None:
        self.double, self._services = double, services

    def _actuator(self, order: Order) -> CloudRunScale | CloudRunRollback:
        kind = CloudRunScale if isinstance(order, Scale) else CloudRunRollback
        return kind(self._services, PLACE)

    async def resolve(self, order: Order) -> Target | NotDone:
        return await self._actuator(order).resolve(action(order, timeout_seconds=20))

    async def attempt(self, order: Order, target: Any, seconds: float = SECONDS) -> Done | NotDone | Uncertain:
        return await self._actuator(order).attempt(action(order), target, seconds)

    @property
    def minimum(self) -> int:
        return self.double.services[SERVICE].scaling.min_instance_count

    @property
    def traffic(self) -> list[tuple[str, int, str]]:
        return [(each.revision, each.percent, each.tag) for each in self.double.services[SERVICE].traffic]


@pytest.fixture
async def operator() -> AsyncIterator[Operator]:
    async with CloudRun() as double:
        double.deploy(SERVICE, minimum=2)
        services = await Services.open(emulator=double.address)
        yield Operator(double, services)
        await services.aclose()


def scaled(instances: int, *, was: int = 2) -> dict[str, str | int]:
    return {"service": SERVICE, "min_instances": instances, "was": was}


def rolled(revision: int, *, was: int = 3) -> dict[str, str | int]:
    return {"service": SERVICE, "revision": f"api-{revision:05}", "was": f"api-{was:05}"}


@pytest.mark.parametrize(
    ("order", "instances"),
    [
        (Scale("api", step=1, max=10), 3),
        (Scale("api", step=20, max=10), 10),
        (Scale("api", step=-1, max=10), 1),
        (Scale("api", step=-5, max=10), 0),
        (Scale("api", step=-5, max=10, min=1), 1),
        (Scale("api", step=1, max=10, min=5), 5),
        (Scale("api", step=1, max=2), 2),
        (Scale(SERVICE, step=1, max=10), 3),
    ],
)
async def test_a_step_is_resolved_to_a_number_within_floor_and_ceiling(
    operator: Operator, order: Scale, instances: int
) -> None:
    assert await operator.resolve(order) == scaled(instances)


@pytest.mark.parametrize(
    ("order", "bounds"), [(Scale("api", step=1, max=1), "0 to 1"), (Scale("api", step=-1, max=10, min=4), "4 to 10")]
)
async def test_a_number_outside_of_the_bounds_is_not_moved_against_the_rules_direction(
    operator: Operator, order: Scale, bounds: str
) -> None:
    assert await operator.resolve(order) == NotDone(f"the minimum is 2, outside of {bounds}", temporary=False)


async def test_a_service_that_is_scaled_by_hand_is_left_to_the_hand(operator: Operator) -> None:
    operator.double.services[SERVICE].scaling.scaling_mode = ServiceScaling.ScalingMode.MANUAL
    assert await operator.resolve(UP) == NotDone("the service is scaled by hand (manual scaling)", temporary=False)


async def test_only_the_minimum_is_written_and_against_the_version_that_was_read(operator: Operator) -> None:
    operator.double.services[SERVICE].scaling.max_instance_count = 40
    assert await operator.attempt(UP, scaled(3)) == Done("in effect")
    (write,) = operator.double.writes
    assert (list(write.update_mask.paths), write.service.etag) == (["scaling.min_instance_count"], '"1"')
    scaling = operator.double.services[SERVICE].scaling
    assert (scaling.min_instance_count, scaling.max_instance_count) == (3, 40)
    assert operator.traffic == [("", 100, "")]


@pytest.mark.parametrize(("order", "target"), [(UP, scaled(2, was=1)), (BACK, rolled(2))])
async def test_what_is_there_already_is_done_and_nothing_is_written(
    operator: Operator, order: Order, target: Any
) -> None:
    operator.double.route(SERVICE, api_00002=100)
    assert await operator.attempt(order, target) == Done("in effect")
    assert operator.double.writes == []


async def test_zero_is_a_minimum_like_any_other(operator: Operator) -> None:
    assert await operator.attempt(UP, scaled(0)) == Done("in effect")
    assert operator.minimum == 0


async def test_what_another_hand_has_set_meanwhile_stays(operator: Operator) -> None:
    operator.double.services[SERVICE].scaling.min_instance_count = 7
    assert await operator.attempt(UP, scaled(3)) == NotDone(
        "the minimum was 2, and somebody else has made it 7", temporary=False
    )
    assert (operator.minimum, operator.double.writes) == (7, [])


def touching(operator: Operator, *, minimum: int | None = None) -> Before:
    """Somebody else writes the service between our reading and our writing."""

    async def before(context: grpc.aio.ServicerContext) -> None:
        service = operator.double.touch(SERVICE)
        if minimum is not None:
            service.scaling.min_instance_count = minimum

    return before


async def test_a_change_of_something_else_in_between_is_read_and_written_on(operator: Operator) -> None:
    operator.double.before["UpdateService"] = [touching(operator), touching(operator)]
    assert await operator.attempt(UP, scaled(3)) == Done("in effect")
    assert (operator.minimum, len(operator.double.writes)) == (3, 3)


async def test_a_change_of_the_same_in_between_stays(operator: Operator) -> None:
    operator.double.before["UpdateService"] = [touching(operator, minimum=5)]
    assert await operator.attempt(UP, scaled(3)) == NotDone(
        "the minimum was 2, and somebody else has made it 5", temporary=False
    )
    assert operator.minimum == 5


async def test_a_service_that_never_rests_is_left_for_another_attempt(operator: Operator) -> None:
    operator.double.before["UpdateService"] = [touching(operator) for _ in range(10)]
    assert await operator.attempt(UP, scaled(3)) == NotDone(
        "others changed the service 4 times in between", temporary=True
    )
    assert len(operator.double.writes) == 4


@pytest.mark.parametrize("order", [UP, BACK])
@pytest.mark.parametrize(
    ("code", "name", "temporary"),
    [
        (Code.UNAUTHENTICATED, "UNAUTHENTICATED", False),
        (Code.PERMISSION_DENIED, "PERMISSION_DENIED", False),
        (Code.NOT_FOUND, "NOT_FOUND", False),
        (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", False),
        (Code.RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED", True),
        (Code.UNAVAILABLE, "UNAVAILABLE", True),
        (Code.INTERNAL, "INTERNAL", True),
        (Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", True),
    ],
)
async def test_an_error_while_reading_has_changed_nothing(
    operator: Operator, order: Order, code: grpc.StatusCode, name: str, temporary: bool
) -> None:
    operator.double.before["GetService"] = [refusing(code), refusing(code)]
    expected = NotDone(f"Google answered {name}: said so", temporary=temporary)
    assert await operator.resolve(order) == expected
    assert await operator.attempt(order, scaled(3) if order == UP else rolled(2)) == expected


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (Code.PERMISSION_DENIED, NotDone("Google answered PERMISSION_DENIED: said so", temporary=False)),
        (Code.NOT_FOUND, NotDone("Google answered NOT_FOUND: said so", temporary=False)),
        (Code.ALREADY_EXISTS, NotDone("Google answered ALREADY_EXISTS: said so", temporary=False)),
        (Code.FAILED_PRECONDITION, NotDone("Google answered FAILED_PRECONDITION: said so", temporary=False)),
        (Code.RESOURCE_EXHAUSTED, NotDone("Google answered RESOURCE_EXHAUSTED: said so", temporary=True)),
        (Code.UNAVAILABLE, Uncertain("Google answered UNAVAILABLE: said so")),
        (Code.INTERNAL, Uncertain("Google answered INTERNAL: said so")),
    ],
)
async def test_an_error_while_writing_says_no_or_leaves_it_uncertain(
    operator: Operator, code: grpc.StatusCode, outcome: NotDone | Uncertain
) -> None:
    operator.double.before["UpdateService"] = [refusing(code)]
    assert await operator.attempt(UP, scaled(3)) == outcome
    assert operator.minimum == 2


async def test_how_long_google_asks_to_wait_is_told(operator: Operator) -> None:
    operator.double.before["UpdateService"] = [refusing(Code.RESOURCE_EXHAUSTED, "quota", retry_after_seconds=30)]
    assert await operator.attempt(UP, scaled(3)) == NotDone(
        "Google answered RESOURCE_EXHAUSTED: quota", temporary=True, retry_after_seconds=30.0
    )


async def test_a_service_that_is_not_there_is_not_done_for_good(operator: Operator) -> None:
    outcome = await operator.resolve(Scale("web", step=1, max=3))
    assert outcome == NotDone(
        "Google answered NOT_FOUND: Resource 'projects/acme-prod/locations/europe-west1/services/web' was not found",
        temporary=False,
    )


@pytest.mark.parametrize("order", [Scale("No Name", step=1, max=3), Rollback("a/b")])
async def test_a_name_that_is_none_is_refused_without_asking(operator: Operator, order: Order) -> None:
    outcome = await operator.resolve(order)
    assert isinstance(outcome, NotDone)
    assert (outcome.temporary, operator.double.calls) == (False, [])


async def test_the_operation_is_waited_for_at_our_own_pace(operator: Operator) -> None:
    # Google's own pauses for the fourth look add up to 15 s on the average.
    operator.double.polls = 4
    assert await operator.attempt(UP, scaled(3), 4.0) == Done("in effect")
    assert operator.double.calls.count("GetOperation") == 4


async def test_an_operation_that_takes_longer_than_the_attempt_is_uncertain_and_done_by_the_next(
    operator: Operator,
) -> None:
    operator.double.polls = 1_000
    assert await operator.attempt(UP, scaled(3), SHORT) == Uncertain("accepted or sent, and not finished within 0.6 s")
    again = asyncio.create_task(operator.attempt(UP, scaled(3)))
    while operator.double.calls.count("GetService") < 3:
        await asyncio.sleep(0.01)
    operator.double.services[SERVICE].reconciling = False
    assert await again == Done("in effect")
    assert len(operator.double.writes) == 1


async def test_an_operation_that_fails_leaves_it_uncertain(operator: Operator) -> None:
    operator.double.operation_error = failed("no capacity")
    assert await operator.attempt(UP, scaled(3)) == Uncertain("accepted, and then failed: no capacity")


async def test_a_cloud_that_cannot_be_reached_is_temporary() -> None:
    services = await Services.open(emulator=f"127.0.0.1:{free_port()}")
    outcome = await CloudRunScale(services, PLACE).attempt(action(UP), scaled(3), SECONDS)
    await services.aclose()
    assert isinstance(outcome, NotDone)
    assert outcome.temporary


async def test_a_cloud_that_does_not_answer_a_question_has_changed_nothing(operator: Operator) -> None:
    async def silent(context: grpc.aio.ServicerContext) -> None:
        await asyncio.get_running_loop().create_future()

    operator.double.before["GetService"] = [silent]
    assert await operator.attempt(UP, scaled(3), SHORT) == NotDone(
        "Cloud Run did not answer within 0.6 s", temporary=True
    )


async def test_a_rollback_is_resolved_to_the_ready_revision_before_the_one_with_the_traffic(
    operator: Operator,
) -> None:
    operator.double.deploy(SERVICE, revisions=5)
    assert await operator.resolve(BACK) == rolled(4, was=5)


async def test_a_revision_that_is_not_ready_is_passed_over(operator: Operator) -> None:
    operator.double.deploy(SERVICE, revisions=5)
    operator.double.revisions[SERVICE][3].conditions[0].state = Condition.State.CONDITION_FAILED
    operator.double.revisions[SERVICE][2].conditions = []
    assert await operator.resolve(BACK) == rolled(2, was=5)


async def test_the_age_of_revisions_is_that_of_their_making_not_of_their_names(operator: Operator) -> None:
    first, second, _ = operator.double.revisions[SERVICE]
    first.create_time, second.create_time = second.create_time, first.create_time
    assert await operator.resolve(BACK) == rolled(1)


async def test_while_traffic_is_split_the_newest_with_any_is_rolled_back(operator: Operator) -> None:
    operator.double.route(SERVICE, api_00001=90, api_00002=10, api_00003=0)
    assert await operator.resolve(BACK) == rolled(1, was=2)


async def test_the_first_revision_cannot_be_rolled_back(operator: Operator) -> None:
    operator.double.deploy(SERVICE, revisions=1)
    assert await operator.resolve(BACK) == NotDone("no ready revision is older than api-00001", temporary=False)


async def test_without_traffic_there_is_nothing_to_roll_back(operator: Operator) -> None:
    operator.double.route(SERVICE)
    assert await operator.resolve(BACK) == NotDone("no revision of the service has traffic", temporary=False)


async def test_all_traffic_goes_to_the_named_revision_and_tags_stay(operator: Operator) -> None:
    operator.double.services[SERVICE].traffic = [
        TrafficTarget(type_=LATEST, percent=100, tag="live"),
        TrafficTarget(type_=REVISION, revision="api-00001", tag="old"),
    ]
    assert await operator.attempt(BACK, rolled(2)) == Done("in effect")
    assert operator.traffic == [("api-00002", 100, ""), ("", 0, "live"), ("api-00001", 0, "old")]
    assert list(operator.double.writes[0].update_mask.paths) == ["traffic"]
    assert operator.minimum == 2


async def test_traffic_that_has_moved_on_meanwhile_stays_there(operator: Operator) -> None:
    operator.double.route(SERVICE, api_00001=100)
    assert await operator.attempt(BACK, rolled(2)) == NotDone("the traffic has moved on to api-00001", temporary=False)
    assert operator.double.writes == []


async def test_traffic_that_is_set_and_does_not_come_is_uncertain(operator: Operator) -> None:
    operator.double.route(SERVICE, api_00002=100)
    service = operator.double.services[SERVICE]
    service.traffic_statuses = []
    service.terminal_condition.message = "the revision has no capacity"
    assert await operator.attempt(BACK, rolled(2)) == Uncertain("set, and not in effect: the revision has no capacity")
