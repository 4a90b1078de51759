"""A figure is judged by its goal where the machine had room, and a push that was not decided in whole is no answer."""

import socket

import pytest
from benchmarks.signals import Pushes
from benchmarks.table import Goal, Result, Row, _judged

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"
GOAL = Goal("P11", "", "", "at least 1", "ratio", lambda figure: figure >= 1, unless_busy="busy")


def result(figure: float, busy: float) -> Result:
    rows = (Row("ratio", "ratio", figure, (figure, figure)), Row("busy", "ratio", busy, (busy, busy)))
    return Result("P11", "", "", {}, {}, rows)


@pytest.mark.parametrize(
    ("figure", "busy", "said"),
    [
        (1.2, 0.5, "yes"),
        (0.4, 0.5, "**no**"),
        (0.4, 0.95, "not judged: the cores were saturated"),
        (1.2, 0.95, "not judged: the cores were saturated"),
    ],
)
def test_saturated_cores_judge_nothing(figure: float, busy: float, said: str) -> None:
    assert _judged(GOAL, result(figure, busy))[1] == said


@pytest.mark.parametrize(
    ("reply", "good"),
    [
        (OK + b'{"items":[{"status":200}]}', True),
        (OK + b'{"quarantined":{"id":"1"}}', False),
        (OK + b'{"items":[{"type":"/problems/unknown_metric"}]}', False),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False),
    ],
)
def test_a_push_is_answered_when_all_of_it_is_decided(reply: bytes, good: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        pushes = Pushes(iter(()), rate=1, seconds=1, connections=1, port=server.getsockname()[1])
        assert pushes.is_good(reply) is good
        pushes.idle[0].close()
