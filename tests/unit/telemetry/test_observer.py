"""What happened reaches logs and metrics, and nobody who tells it is ever failed by it."""

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.contract.stores.builders import receipt

from tai_autonomics.application.ports import Answered, Observer
from tai_autonomics.telemetry import observer
from tai_autonomics.telemetry.logs import Logs
from tai_autonomics.telemetry.metrics import Metrics
from tai_autonomics.telemetry.observer import Telemetry

ANSWERED = Answered("GET", "/health", 200, 0.001, 0, 2, "req-1", "192.0.2.7")


class HandClock:
    seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 11, 24, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds


class Told:
    """A telemetry and what it has written."""

    def __init__(self) -> None:
        self.stream, self.clock = io.BytesIO(), HandClock()
        self.telemetry = Telemetry(
            Logs(self.stream, self.clock, level="info", form="json"), Metrics(environment="test"), self.clock
        )

    def lines(self) -> list[dict[str, Any]]:
        self.telemetry.logs.close()
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def scraped(self) -> list[str]:
        return self.telemetry.metrics.scrape("")[0].decode().splitlines()


@pytest.fixture
def told() -> Told:
    return Told()


def test_everything_that_an_observer_hears_is_counted(told: Told) -> None:
    hears: Observer = told.telemetry
    hears.answered(ANSWERED)
    hears.decided("verify", "accepted", "")
    hears.appended(3, 2, 0.001)
    hears.sealed("transition")
    hears.conflicted()
    hears.duplicated(2)
    hears.store_failed("append")
    hears.probed("store", "")
    hears.loaded(5, 0.001)
    hears.went_back("acme")
    hears.gate_asked("compliance_permits", 2e-6)
    hears.signals_refused("stale", 3)
    hears.attempted("webhook", "succeeded", 0.1)
    hears.settled("webhook", "succeeded", receipt("acme"))
    hears.pushed("decided", 2.5)
    hears.pushed("refused", None)
    hears.failed("timers", ValueError("deep"))
    counted = {
        'tai_http_requests_total{method="GET",route="/health",status="200"} 1.0',
        'tai_commands_total{command="verify",outcome="accepted"} 1.0',
        "tai_append_receipts_sum 3.0",
        'tai_receipts_total{type="transition"} 1.0',
        "tai_conflicts_total 1.0",
        "tai_duplicates_total 2.0",
        'tai_store_errors_total{verb="append"} 1.0',
        'tai_check_up{check="store"} 1.0',
        "tai_lane_load_receipts_total 5.0",
        "tai_ledgers_went_back_total 1.0",
        'tai_gate_duration_seconds_bucket{gate="compliance_permits",le="2.5e-06"} 1.0',
        'tai_gate_duration_seconds_bucket{gate="compliance_permits",le="1e-06"} 0.0',
        'tai_signals_refused_total{reason="stale"} 3.0',
        'tai_action_attempts_total{outcome="succeeded",type="webhook"} 1.0',
        'tai_actions_total{outcome="succeeded",type="webhook"} 1.0',
        'tai_push_messages_total{outcome="decided"} 1.0',
        'tai_push_messages_total{outcome="refused"} 1.0',
        "tai_push_message_age_seconds_sum 2.5",
        "tai_push_message_age_seconds_count 1.0",
        'tai_background_failures_total{task="timers"} 1.0',
        "tai_telemetry_failures_total 0.0",
    }
    assert counted <= set(told.scraped())


def test_a_request_has_one_line_and_an_error_its_traceback(told: Told) -> None:
    told.telemetry.answered(ANSWERED)
    told.telemetry.decided("verify", "accepted", "")
    told.telemetry.failed("timers", ValueError("deep"))
    request, failure = told.lines()
    assert request["message"] == "GET /health 200"
    assert (failure["severity"], failure["task"]) == ("ERROR", "timers")
    assert failure["stack_trace"] == "ValueError: deep\n"


def test_the_end_of_an_action_is_a_line_that_names_its_receipt_and_warns_where_somebody_must_look(told: Told) -> None:
    settling = receipt("acme")
    for result in ("succeeded", "cancelled", "lapsed", "failed", "timed_out", "unknown"):
        told.telemetry.settled("webhook", result, settling)
    lines = told.lines()
    assert [(line["result"], line["severity"]) for line in lines] == [
        *(("succeeded", "INFO"), ("cancelled", "INFO"), ("lapsed", "INFO")),
        *(("failed", "WARNING"), ("timed_out", "WARNING"), ("unknown", "WARNING")),
    ]
    assert {(line["tenant"], line["command_id"], line["receipt"]) for line in lines} == {
        (settling.tenant, settling.command_id, settling.hash)
    }


def test_a_ledger_that_went_back_is_an_error_that_names_its_tenant(told: Told) -> None:
    told.telemetry.went_back("acme")
    (line,) = told.lines()
    assert (line["severity"], line["tenant"]) == ("ERROR", "acme")
    assert line["message"].startswith("ledger_went_back")


def test_a_check_is_told_when_it_changes(told: Told) -> None:
    for trouble in ("", "", "no host db-7", "refused", ""):
        told.telemetry.probed("store", trouble)
    assert [(line["message"], line.get("trouble")) for line in told.lines()] == [
        ("a health check fails", "no host db-7"),
        ("a health check passes again", None),
    ]


def test_a_failure_that_repeats_is_told_once_a_second_with_its_count(told: Told) -> None:
    for seconds in (0.0, 0.1, 0.9, 1.0, 1.5, 3.0):
        told.clock.seconds = seconds
        told.telemetry.store_failed("append")
    told.telemetry.store_failed("read")
    assert [(line["verb"], line["unsaid"]) for line in told.lines()] == [
        ("append", 0),
        ("append", 2),
        ("append", 1),
        ("read", 0),
    ]
    assert 'tai_store_errors_total{verb="append"} 6.0' in told.scraped()


def test_the_kinds_of_failure_remembered_are_bounded(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observer, "KINDS_MAX", 2)
    for number in range(10):
        told.telemetry.failed(f"task {number}", ValueError())
        told.telemetry.failed(f"task {number}", ValueError())
    assert len(told.telemetry._said) <= 2
    assert len(told.telemetry._unsaid) <= 2


def test_what_cannot_be_told_is_counted_and_raises_nowhere(told: Told) -> None:
    told.telemetry.answered(object())  # type: ignore[arg-type]
    told.telemetry.duplicated(-1)
    told.telemetry.sealed(["unhashable"])  # type: ignore[arg-type]
    told.telemetry.failed("timers", UnsayableError())
    assert "tai_telemetry_failures_total 4.0" in told.scraped()


class UnsayableError(Exception):
    """An error whose own text fails."""

    @property
    def __notes__(self) -> object:
        raise RuntimeError


def test_a_log_that_nobody_reads_any_more_raises_nowhere(told: Told) -> None:
    told.telemetry.logs.close()
    told.stream.close()
    told.telemetry.answered(ANSWERED)
    assert "tai_telemetry_failures_total 0.0" in told.scraped()
