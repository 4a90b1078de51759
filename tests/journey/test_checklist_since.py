"""The checklist of the last thirty days, here six hours: what a real Prometheus has of sound and of ill services."""

import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.engines.prometheus import watching
from tests.house import test_metrics_document
from tests.house.exposed import labels_in
from tests.house.queries import named_in

from tai_autonomics.cli.app import run
from tai_autonomics.cli.checklist.promql import Queries
from tai_autonomics.cli.checklist.since import SECTIONS

pytestmark = pytest.mark.embedded

HOURS = 6
SECONDS = HOURS * 3600
HALF, LAST_QUARTER = SECONDS // 2, SECONDS * 3 // 4
Value = Callable[[int], float | None]


def constant(value: float) -> Value:
    return lambda _: value


def counting(per_second: float) -> Value:
    return lambda after: per_second * after


def instance(name: str, *, rate: float = 1.0, version: str = "0.1.0") -> dict[str, Value]:
    """What one of a sound service told."""
    told: dict[str, Value] = {
        f'tai_build_info{{version="{version}"}}': constant(1),
        "process_start_time_seconds{}": constant(1_700_000_000),
        "process_resident_memory_bytes{}": lambda after: 70e6 + 2e6 * math.sin(after / 600),
        "process_open_fds{}": constant(40),
        "process_max_fds{}": constant(1000),
        'tai_http_requests_total{route="/marketplace",status="200"}': counting(rate),
        'tai_http_requests_total{route="/marketplace",status="503"}': counting(0),
    }
    for route, bounds in (("/marketplace", ("0.1", "0.5", "+Inf")), ("/health", ("0.005", "0.5", "+Inf"))):
        histogram = "tai_http_request_duration_seconds"
        told |= {f'{histogram}_bucket{{route="{route}",le="{le}"}}': counting(rate) for le in bounds}
        told[f'{histogram}_count{{route="{route}"}}'] = counting(rate)
    told |= {f'tai_append_duration_seconds_bucket{{le="{le}"}}': counting(rate) for le in ("0.05", "+Inf")}
    told["tai_append_duration_seconds_count{}"] = counting(rate)
    return {_labelled(series, instance=name): value for series, value in told.items()}


def _labelled(series: str, **labels: str) -> str:
    given = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return series.replace("{}", "{" + given + "}") if "{}" in series else series.replace("{", "{" + given + ",")


def service(*changes: dict[str, Value]) -> dict[str, Value]:
    """Two sound instances, but for the changes of a."""
    told = instance("a") | instance("b")
    for change in changes:
        for series, value in change.items():
            told[_labelled(series, instance="a")] = value
    return told


def with_bucket(le: str, value: Value) -> dict[str, Value]:
    return {f'tai_http_request_duration_seconds_bucket{{route="/marketplace",le="{le}"}}': value}


RESTARTED: dict[str, Value] = {"process_start_time_seconds{}": lambda after: 1_700_000_000 + (after >= HALF)}
ILL: dict[str, tuple[dict[str, Value], set[str]]] = {
    "sound": (service(), set()),
    "restarted": (service(RESTARTED), {"since-restarts"}),
    "upgraded": (
        service(
            RESTARTED,
            {
                'tai_build_info{version="0.1.0"}': lambda after: 1 if after < HALF else None,
                'tai_build_info{version="0.2.0"}': lambda after: 1 if after >= HALF else None,
            },
        ),
        set(),
    ),
    "erring": (
        service({'tai_http_requests_total{route="/marketplace",status="503"}': counting(0.01)}),
        {"since-availability"},
    ),
    "failing": (
        service({'tai_http_problems_total{reason="internal"}': lambda after: 1 if after >= HALF else None}),
        {"since-critical"},
    ),
    "slow": (service(with_bucket("0.1", counting(0.9)), with_bucket("0.5", counting(0.95))), {"since-latency"}),
    "slower": (
        service(with_bucket("0.1", lambda after: after - 0.076 * max(0, after - LAST_QUARTER))),
        {"since-performance"},
    ),
    "leaking": (service({"process_resident_memory_bytes{}": lambda after: 70e6 + 5000 * after}), {"since-memory"}),
    "crowded": (service({"process_open_fds{}": lambda after: 900 if after == HALF else 40}), {"since-resources"}),
    "turning-away": (service({'tai_http_problems_total{reason="overloaded"}': counting(0.01)}), {"since-resources"}),
    "uneven": (instance("a", rate=10.0) | instance("b", rate=1.0), {"since-distribution"}),
    "young": (
        {
            series: (lambda after, told=value: told(after) if after >= HALF else None)
            for series, value in service().items()
        },
        set(),
    ),
}
"""By job: what it told, and which lines must fail."""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    history = {_labelled(series, job=job): value for job, (told, _) in ILL.items() for series, value in told.items()}
    with watching(tmp_path_factory.mktemp("prometheus"), history, seconds=SECONDS) as url:
        yield url


def judged(prometheus: str, matching: str, file: Path, *options: str) -> tuple[int, dict[str, Any]]:
    place = ("--prometheus", prometheus, "--matching", matching, "--json", str(file), "--quiet")
    status = run(["checklist", "--since", f"{HOURS}h", *place, *options])
    return status, {line["id"]: line for line in json.loads(file.read_text())["lines"]}


@pytest.mark.parametrize("job", ILL)
def test_what_was_ill_fails_at_its_own_line_and_only_there(prometheus: str, tmp_path: Path, job: str) -> None:
    status, lines = judged(prometheus, f'job="{job}"', tmp_path / "found.json")
    failing = ILL[job][1]
    assert {name: line["detail"] for name, line in lines.items() if line["outcome"] == "failed"}.keys() == failing
    assert status == (1 if failing else 0)


def test_a_sound_service_has_evidence_for_every_line(prometheus: str, tmp_path: Path) -> None:
    _, lines = judged(prometheus, 'job="sound"', tmp_path / "found.json")
    assert {name for name, line in lines.items() if line["outcome"] != "evidence"} == set()
    assert lines["since-distribution"]["evidence"] == {"unevenness": pytest.approx(1), "instances_max": 2}
    assert lines["since-memory"]["evidence"]["instances"] == 2


def test_a_service_that_was_not_watched_all_the_time_has_that_open(prometheus: str, tmp_path: Path) -> None:
    _, lines = judged(prometheus, 'job="young"', tmp_path / "found.json")
    assert lines["since-metrics"]["outcome"] == "open"
    assert lines["since-metrics"]["evidence"]["covered"] == pytest.approx(0.5, abs=0.03)
    assert lines["since-memory"]["outcome"] == "open"


def test_restarts_that_were_planned_are_allowed_for(prometheus: str, tmp_path: Path) -> None:
    status, lines = judged(prometheus, 'job="restarted"', tmp_path / "found.json", "--planned-restarts", "1")
    assert (status, lines["since-restarts"]["outcome"]) == (0, "evidence")


def test_nobody_watched_is_a_failure(prometheus: str, tmp_path: Path) -> None:
    status, lines = judged(prometheus, 'job="nobody"', tmp_path / "found.json")
    assert (status, lines["since-metrics"]["outcome"]) == (1, "failed")


def test_what_prometheus_does_not_answer_is_a_failure_that_says_why(prometheus: str, tmp_path: Path) -> None:
    status, lines = judged(prometheus, "job=", tmp_path / "found.json")
    assert status == 1
    assert {line["outcome"] for line in lines.values()} == {"failed"}
    assert "parse error" in lines["since-metrics"]["detail"]


def test_every_series_and_label_that_is_asked_for_is_exposed() -> None:
    queries = Queries(30 * 86400, "")
    asked = [value for name in dir(queries) if not name.startswith("_") for value in _texts(getattr(queries, name)())]
    exposed = labels_in(test_metrics_document.scraped())
    named = [named_in(query) for query in asked]
    assert len(named) > len({row for section in SECTIONS for row in section.rows})
    for each in named:
        for series, matchers in each.series.items():
            if not series.startswith("process_"):
                assert series in exposed
                assert {label for label, _ in matchers} <= exposed[series] | {"le"}
    assert not any(re.search(r"\{,|,\}", query) for query in asked)


def _texts(value: object) -> list[str]:
    match value:
        case str():
            return [value]
        case dict():
            return list(value.values())
        case tuple():
            return list(value)
        case _:
            raise AssertionError(value)
