"""The checklist's options, its pages, and judgements that no proxy can provoke."""

import asyncio
import base64
import json
from typing import Any

import pytest
import typer
from msgspec import Struct
from tests.unit.cli.exports import CommandLine

from tai_autonomics.cli.checklist import guarding, health, load
from tai_autonomics.cli.checklist.asking import Answer
from tai_autonomics.cli.checklist.judging import judge, silent
from tai_autonomics.cli.checklist.lines import Found, Line, Row, Section, Wrong, left_open, shown
from tai_autonomics.cli.checklist.quantiles import Latencies, latencies
from tai_autonomics.cli.checklist.report import Report, as_json, as_markdown, counted
from tai_autonomics.cli.checklist.run import Measured, Run, Wanted, claims_of
from tai_autonomics.errors import Malformed, StoreUnavailable
from tai_autonomics.telemetry import scrapes

URL = "http://127.0.0.1:9"
TOKEN = ("--token", "some.to.ken")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "give the service's URL, or --since and --prometheus"),
        ((URL,), "give --token-file, or --token"),
        ((URL, *TOKEN, "--token-file", "t"), "give --token-file, or --token"),
        ((URL, "--token", "two words"), "that is not a token"),
        ((URL, *TOKEN, "--load", "16m"), "--load is at most 900 s"),
        ((URL, *TOKEN, "--load", "1s", "--rate", "1001"), "--rate is from 1 to 1000"),
        ((URL, *TOKEN, "--load", "15m", "--rate", "200"), "are 180,000 requests, at most 100,000"),
        ((URL, *TOKEN, "--load", "soon"), "is not a duration"),
        (("ftp://there", *TOKEN), "is not http(s)://host:port"),
        (("http://me:secret@there", *TOKEN), "the URL names a user"),
        (
            (URL, *TOKEN, "--google-project", "p"),
            "--google-project, --google-region and --google-token-file go together",
        ),
        (("--since", "30d"), "--since TIME and --prometheus URL go together"),
        (("--prometheus", URL), "--since TIME and --prometheus URL go together"),
        ((URL, "--since", "30d", "--prometheus", URL), "without the service's URL"),
        (("--since", "59m", "--prometheus", URL), "--since is from 1h to 400d"),
        (("--since", "30d", "--prometheus", "there"), "is not http(s)://host:port"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(cli: CommandLine, options: tuple[str, ...], said: str) -> None:
    assert cli("checklist", *options) == 2
    assert said in cli.err
    assert "secret" not in cli.err


async def _evidence(_: None) -> Found:
    return shown("it is so")


async def _wrong(_: None) -> Found:
    raise Wrong("it is not so", why="because")


async def _no_answer(_: None) -> Found:
    raise StoreUnavailable("nothing answers")


async def _stumbles(_: None) -> Found:
    raise AttributeError("'str' object has no attribute 'get'")


async def _misused(_: None) -> Found:
    raise typer.BadParameter("name another plan")


def test_a_line_is_judged_by_its_check_and_left_open_where_what_it_needs_is_no_evidence() -> None:
    rows = (
        Row("late", "", _evidence, needs=("wrong",), late=True),
        Row("good", "", _evidence),
        Row("wrong", "", _wrong, needs=("good",)),
        Row("after", "", _evidence, needs=("wrong",)),
        Row("silent", "", _no_answer),
    )
    told: list[int] = []
    lines = asyncio.run(judge((Section("one", rows),), None, told.append))
    assert [(line.id, line.outcome, line.detail) for line in lines] == [
        ("late", "open", "not judged: the line wrong is failed"),
        ("good", "evidence", "it is so"),
        ("wrong", "failed", "it is not so"),
        ("after", "open", "not judged: the line wrong is failed"),
        ("silent", "failed", "nothing answers"),
    ]
    assert lines[2].evidence == {"why": "because"}
    assert told == [1, 2, 3, 4, 5]
    assert [line.outcome for line in silent((Section("one", rows),), "gone")] == ["failed", *["open"] * 4]


def test_an_answer_that_no_check_foresaw_fails_its_own_line_and_no_other() -> None:
    rows = (Row("strange", "", _stumbles), Row("good", "", _evidence))
    lines = asyncio.run(judge((Section("one", rows),), None, lambda _: None))
    assert [line.outcome for line in lines] == ["failed", "evidence"]
    assert lines[0].detail == "not judged: AttributeError: 'str' object has no attribute 'get'"
    with pytest.raises(typer.BadParameter):
        asyncio.run(judge((Section("one", (Row("misused", "", _misused),)),), None, lambda _: None))


@pytest.mark.parametrize("body", [b'{"reason": "\xff"}', b'{"a":' * 100_000, b"[1]", b"{"])
def test_a_body_that_is_no_json_object_has_no_members(body: bytes) -> None:
    answer = Answer("POST", "/marketplace", 200, {}, body, 0.1, good=True)
    assert (answer.members, answer.reason) == ({}, None)
    with pytest.raises(Wrong, match="with a body of another form"):
        answer.read(Health)


class Health(Struct):
    status: str


def report(*lines: Line) -> Report:
    counts = counted(lines)
    about = {"service": URL}
    return Report(1, "Sign-off", about, "then", "now", counts["failed"] > 0, counts, ["something"], list(lines))


def line(outcome: Any, detail: str = "so") -> Line:
    return Line(outcome, "A section", "What is asked", outcome, detail, {}, 0.1)


def test_only_evidence_is_ticked_and_a_failure_cannot_be_overlooked() -> None:
    page = as_markdown(report(line("evidence"), line("failed"), line("open"), line("not applicable")))
    assert "**Something failed.** 1 evidence, 1 failed, 1 open, 1 not applicable." in page
    assert page.count("- [x]") == 1
    assert "- [x] What is asked (`evidence`): evidence: so" in page
    assert "- [ ] What is asked (`failed`): **failed**: so" in page
    assert "- left behind: something" in page
    assert as_markdown(report(line("open"))).splitlines()[2].startswith("Nothing failed; what is open is a person's")


def test_what_a_stranger_said_cannot_steer_a_terminal_or_end_a_line() -> None:
    page = as_markdown(report(line("failed", "a\n- [x] b\x1b[2J")))
    assert "a\\n- [x] b\\x1b[2J" in page
    assert json.loads(as_json(report(line("failed", "a\x1b"))))["lines"][0]["detail"] == "a\x1b"


def test_quantiles_are_by_the_nearest_rank() -> None:
    assert latencies([]) == Latencies(0, 0, 0, 0, 0)
    assert latencies([0.001 * each for each in range(1, 101)]) == Latencies(100, 50, 95, 99, 100)
    assert latencies([0.002]) == Latencies(1, 2, 2, 2, 2)


def test_a_scrape_is_read_and_what_is_none_is_told() -> None:
    text = '# TYPE a_total counter\na_total{b="c"} 2.0\na_total{b="d"} 3.0\n# TYPE e gauge\ne 1.0\n'
    found = scrapes.read(text)
    assert found.families == {"a_total", "e"}
    assert (found.total("a_total"), found.total("a_total", b="c"), found.total("f")) == (5, 2, 0)
    with pytest.raises(Malformed, match="not the Prometheus text format"):
        scrapes.read("a{b=c} no\n")
    with pytest.raises(Malformed, match="longer than"):
        scrapes.read(" " * (scrapes.SCRAPE_BYTES_MAX + 1))


def test_a_token_that_is_no_jwt_is_wrong_usage() -> None:
    with pytest.raises(Exception, match="is not a JWT"):
        claims_of("none")
    claims = base64.urlsafe_b64encode(b'{"tenants":["a"]}').decode().rstrip("=")
    assert claims_of(f"x.{claims}.y") == {"tenants": ["a"]}


def run_of(measured: Measured | None = None, **wanted: Any) -> Run:
    ask: Any = None
    from datetime import UTC, datetime

    made = Run(ask, Wanted(**{"url": URL, **wanted}), now=datetime(2026, 11, 30, tzinfo=UTC), chance=bytes(28))
    made.measured = measured
    return made


def scrape(**values: float) -> scrapes.Scrape:
    return scrapes.read("".join(f"{name} {value}\n" for name, value in values.items()))


def appended(within: int, count: int) -> scrapes.Scrape:
    return scrapes.read(
        f'tai_append_duration_seconds_bucket{{le="0.05"}} {within}\ntai_append_duration_seconds_count {count}\n'
    )


def measured(
    *, errors: int = 0, p99: float = 20.0, before: Any = None, after: Any = None, status: str = "503"
) -> Measured:
    took = Latencies(1000, 1.0, 2.0, p99, p99)
    return Measured(2000, 10.0, {status: errors} if errors else {}, took, took, before, after)


@pytest.mark.parametrize(
    ("check", "given", "outcome"),
    [
        (load.errors_are_rare, measured(errors=19), "evidence"),
        (load.errors_are_rare, measured(errors=20), "failed"),
        (load.commands_are_fast, measured(p99=99), "evidence"),
        (load.commands_are_fast, measured(p99=100), "failed"),
        (load.receipts_are_durable_fast, measured(p99=49), "evidence"),
        (load.receipts_are_durable_fast, measured(p99=51), "open"),
        (load.receipts_are_durable_fast, measured(p99=51, before=appended(0, 0), after=appended(99, 100)), "evidence"),
        (load.receipts_are_durable_fast, measured(p99=51, before=appended(0, 0), after=appended(98, 100)), "failed"),
        (load.receipts_are_durable_fast, measured(p99=51, before=appended(9, 9), after=appended(9, 9)), "open"),
        (load.enough_is_carried, measured(), "evidence"),
        (load.enough_is_carried, measured(errors=1000), "failed"),
        (load.nothing_is_exhausted, measured(), "open"),
        (load.nothing_is_exhausted, measured(after=scrape(process_open_fds=8, process_max_fds=10)), "evidence"),
        (load.nothing_is_exhausted, measured(after=scrape(process_open_fds=9, process_max_fds=10)), "failed"),
        (load.nothing_is_exhausted, measured(errors=1, status="429", after=scrape(process_open_fds=8)), "failed"),
    ],
)
def test_a_load_is_judged_at_its_bounds(check: Any, given: Measured, outcome: str) -> None:
    assert asyncio.run(check(run_of(given, rate=200, network_seconds=0.0))).outcome == outcome


def told(health: tuple[int, int], commands: tuple[int, int] = (0, 0), *, began: int = 1) -> scrapes.Scrape:
    """Of /health how many within 5 ms and how many in all; of /marketplace within 100 ms."""
    name = "tai_http_request_duration_seconds"
    return scrapes.read(
        f'{name}_bucket{{route="/health",le="0.005"}} {health[0]}\n{name}_count{{route="/health"}} {health[1]}\n'
        f'{name}_bucket{{route="/marketplace",le="0.1"}} {commands[0]}\n'
        f'{name}_count{{route="/marketplace"}} {commands[1]}\n'
        f"process_start_time_seconds {began}\n"
    )


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        (told((10, 10)), told((208, 210)), "evidence"),
        (told((10, 10)), told((207, 210)), "failed"),
        (told((10, 10)), told((208, 210), began=2), "open"),
        (told((10, 10)), told((10, 10)), "open"),
        (None, told((208, 210)), "open"),
    ],
)
def test_of_a_service_that_is_far_away_its_own_metrics_judge_the_probes(
    monkeypatch: pytest.MonkeyPatch, before: Any, after: Any, outcome: str
) -> None:
    scraped = iter((before, after))

    async def scrape_next(_: Run) -> Any:
        return next(scraped)

    async def probe(*_: Any) -> Latencies:
        return Latencies(200, 80.0, 90.0, 120.0, 200.0)

    monkeypatch.setattr(health, "scraped_if_it_can_be", scrape_next)
    monkeypatch.setattr(health, "_probed", probe)
    found = asyncio.run(health.is_fast(run_of(url="https://there")))
    assert found.outcome == outcome
    assert "p99 120.0 ms of 200 probes from here" in found.detail


@pytest.mark.parametrize(
    ("after", "outcome"), [(told((0, 0), (99, 100)), "evidence"), (told((0, 0), (98, 100)), "failed"), (None, "open")]
)
def test_of_a_service_that_is_far_away_its_own_metrics_judge_the_load(after: Any, outcome: str) -> None:
    given = measured(p99=150.0, before=told((0, 0)), after=after)
    assert asyncio.run(load.commands_are_fast(run_of(given, url="https://there"))).outcome == outcome


def test_no_floor_is_reached_by_asking_for_less() -> None:
    found = asyncio.run(load.enough_is_carried(run_of(measured(), rate=100)))
    assert found == left_open(
        "200.0 a second were answered with 200, and no more than 100 were asked for: give --rate 120"
    )


@pytest.mark.parametrize(
    ("url", "outcome"),
    [("https://there", "evidence"), ("http://there", "failed"), ("http://127.0.0.1:8080", "not applicable")],
)
def test_a_service_that_is_asked_in_the_clear_over_a_network_fails(url: str, outcome: str) -> None:
    assert asyncio.run(guarding.the_way_is_encrypted(run_of(url=url))).outcome == outcome
