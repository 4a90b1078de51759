"""What an operator is told of actions that are due and wait."""

from datetime import timedelta

from tests.unit.application.instance import START

from tai_autonomics.application.queue import LEFT_MAX, LEFT_SECONDS, Queue
from tai_autonomics.domain.identifiers import ActionId
from tai_autonomics.domain.moments import Moment, moment_of

ONE, OTHER = ActionId("one"), ActionId("other")


def due(seconds: float) -> Moment:
    return moment_of(START + timedelta(seconds=seconds))


def at(queue: Queue, seconds: float, monotonic: float | None = None) -> tuple[int, float]:
    return queue.standing(START + timedelta(seconds=seconds), seconds if monotonic is None else monotonic)


def test_nothing_waits_at_first() -> None:
    assert at(Queue(), 0) == (0, 0.0)


def test_one_in_hand_waits_since_it_came_or_since_it_was_due_whatever_is_longer() -> None:
    queue = Queue()
    queue.take(ONE, due(10), 0)
    assert at(queue, 3) == (1, 3.0)
    queue.take(OTHER, due(-60), 1)
    assert at(queue, 3) == (2, 63.0)
    queue.end(OTHER)
    assert at(queue, 3) == (1, 3.0)
    queue.end(ONE)
    queue.end(ONE)
    assert at(queue, 3) == (0, 0.0)


def test_one_that_found_no_room_waits_from_when_it_is_due_until_it_is_taken() -> None:
    queue = Queue()
    queue.leave(ONE, due(10), 0)
    assert at(queue, 9) == (0, 0.0)
    assert at(queue, 12) == (1, 2.0)
    queue.take(ONE, due(10), 12)
    queue.end(ONE)
    assert at(queue, 12) == (0, 0.0)


def test_one_that_nobody_hands_over_any_more_is_forgotten() -> None:
    queue = Queue()
    queue.leave(ONE, due(0), 0)
    queue.leave(OTHER, due(0), 0)
    queue.leave(OTHER, due(0), 1)
    assert at(queue, LEFT_SECONDS)[0] == 2
    assert at(queue, LEFT_SECONDS + 0.5)[0] == 1
    assert at(queue, LEFT_SECONDS + 2) == (0, 0.0)
    assert at(queue, 1)[0] == 0


def test_what_is_left_is_bounded() -> None:
    queue = Queue()
    for number in range(LEFT_MAX + 5):
        queue.leave(ActionId(str(number)), due(0), 0)
    queue.leave(ActionId("0"), due(0), 1)
    assert at(queue, 1)[0] == LEFT_MAX
    assert at(queue, LEFT_SECONDS + 1)[0] == 1
