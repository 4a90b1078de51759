"""What is counted, under which names, and that no label grows without end."""

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tai_autonomics import __version__
from tai_autonomics.application.ports import Answered
from tai_autonomics.telemetry import tallies
from tai_autonomics.telemetry.metrics import Metrics

ANSWERED = Answered("POST", "/marketplace", 403, 0.004, 210, 900, "req-1", "192.0.2.7", reason="entitlement_inactive")


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = metrics.scrape("")[0].decode()
    found = [sample for family in parse_text(text) for sample in family.samples]
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in found}


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics)[name, tuple(sorted(labels.items()))]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(environment="test")


def test_a_request_is_counted_by_method_route_and_status_and_timed(metrics: Metrics) -> None:
    metrics.answered(ANSWERED)
    route = {"method": "POST", "route": "/marketplace"}
    assert value(metrics, "tai_http_requests_total", **route, status="403") == 1
    assert value(metrics, "tai_http_request_duration_seconds_sum", **route) == 0.004
    assert value(metrics, "tai_http_request_duration_seconds_bucket", **route, le="0.0025") == 0
    assert value(metrics, "tai_http_request_duration_seconds_bucket", **route, le="0.005") == 1
    assert value(metrics, "tai_http_problems_total", reason="entitlement_inactive") == 1


def test_a_method_that_nobody_knows_is_other(metrics: Metrics) -> None:
    metrics.answered(Answered("BREW", "/", 405, 0.1, 0, 0, "r", ""))
    assert value(metrics, "tai_http_requests_total", method="other", route="/", status="405") == 1


def test_a_label_past_the_bound_is_other(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "LABEL_SETS_MAX", 2)
    for number in range(10):
        metrics.sealed(f"type-{number}")
    metrics.sealed("type-0")
    assert value(metrics, "tai_receipts_total", type="type-0") == 2
    assert value(metrics, "tai_receipts_total", type="type-1") == 1
    assert value(metrics, "tai_receipts_total", type="other") == 8


def test_a_route_past_the_bound_is_other(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "LABEL_SETS_MAX", 2)
    for number in range(10):
        metrics.answered(Answered("GET", f"/{number}", 200, 0.1, 0, 0, "r", ""))
    metrics.answered(Answered("GET", "/0", 404, 0.1, 0, 0, "r", ""))
    assert value(metrics, "tai_http_requests_total", method="GET", route="/0", status="404") == 1
    assert value(metrics, "tai_http_requests_total", method="GET", route="/1", status="200") == 1
    assert value(metrics, "tai_http_requests_total", method="other", route="other", status="200") == 8


@pytest.mark.parametrize(("seconds", "within"), [(0.0, "0.001"), (0.001, "0.001"), (0.0011, "0.0025"), (99.0, "+Inf")])
def test_a_time_is_in_the_first_bucket_that_holds_it(metrics: Metrics, seconds: float, within: str) -> None:
    metrics.answered(Answered("GET", "/", 200, seconds, 0, 0, "r", ""))
    buckets = {
        dict(labels)["le"]: count
        for (name, labels), count in samples(metrics).items()
        if name == "tai_http_request_duration_seconds_bucket"
    }
    limits = [*buckets]
    assert len(limits) == len(tallies.REQUEST_SECONDS) + 1
    assert [buckets[limit] for limit in limits] == [
        float(limits.index(limit) >= limits.index(within)) for limit in limits
    ]
    assert value(metrics, "tai_http_request_duration_seconds_count", method="GET", route="/") == 1


def test_what_is_decided_sealed_and_appended_is_counted(metrics: Metrics) -> None:
    metrics.decided("verify", "accepted", "")
    metrics.decided("consume", "refused", "quota_exceeded")
    metrics.sealed("transition")
    metrics.appended(30, 20, 0.002)
    metrics.conflicted()
    metrics.duplicated(3)
    metrics.loaded(17, 0.01)
    metrics.went_back()
    metrics.store_failed("append")
    metrics.failed("timers")
    metrics.not_told()
    assert value(metrics, "tai_commands_total", command="verify", outcome="accepted") == 1
    assert value(metrics, "tai_refusals_total", reason="quota_exceeded") == 1
    assert value(metrics, "tai_receipts_total", type="transition") == 1
    assert value(metrics, "tai_append_receipts_sum") == 30
    assert value(metrics, "tai_append_tenants_sum") == 20
    assert value(metrics, "tai_append_duration_seconds_sum") == 0.002
    assert value(metrics, "tai_conflicts_total") == 1
    assert value(metrics, "tai_duplicates_total") == 3
    assert value(metrics, "tai_lane_load_receipts_total") == 17
    assert value(metrics, "tai_lane_load_duration_seconds_count") == 1
    assert value(metrics, "tai_ledgers_went_back_total") == 1
    assert value(metrics, "tai_store_errors_total", verb="append") == 1
    assert value(metrics, "tai_background_failures_total", task="timers") == 1
    assert value(metrics, "tai_telemetry_failures_total") == 1


def test_a_check_is_up_or_down(metrics: Metrics) -> None:
    metrics.probed("store", ok=True)
    assert value(metrics, "tai_check_up", check="store") == 1
    metrics.probed("store", ok=False)
    assert value(metrics, "tai_check_up", check="store") == 0


def test_what_others_count_is_read_at_the_scrape(metrics: Metrics) -> None:
    lanes = [1]
    metrics.watch(lanes=lambda: lanes[0], waiting=lambda: 2, actions=lambda: (4, 1), log_lines_dropped=lambda: 3)
    lanes[0] = 9
    assert value(metrics, "tai_lanes") == 9
    assert value(metrics, "tai_commands_waiting") == 2
    assert value(metrics, "tai_log_lines_dropped_total") == 3


def test_spans_are_counted_where_traces_go_somewhere(metrics: Metrics) -> None:
    assert "tai_spans" not in metrics.scrape("")[0].decode()
    metrics.watch_spans(exported=lambda: 5, dropped=lambda: 2)
    lines = metrics.scrape("")[0].decode().splitlines()
    assert {"tai_spans_exported_total 5.0", "tai_spans_dropped_total 2.0"} <= set(lines)


def test_the_build_and_the_process_are_there(metrics: Metrics) -> None:
    (build,) = [dict(labels) for name, labels in samples(metrics) if name == "tai_build_info"]
    assert (build["version"], build["environment"]) == (__version__, "test")
    assert value(metrics, "process_resident_memory_bytes") > 0


def test_every_name_of_ours_starts_with_tai(metrics: Metrics) -> None:
    names = {name for name, _ in samples(metrics)}
    assert {name for name in names if not name.startswith(("tai_", "process_"))} == set()
    assert {name for name in names if name.endswith("_created")} == set()


OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/html;q=1, \r\n;;;=,\xff", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", OPENMETRICS),
        ("Application/OpenMetrics-Text; version=evil; escaping=x", OPENMETRICS),
    ],
)
def test_openmetrics_is_for_whoever_names_it(metrics: Metrics, accept: str, content_type: str) -> None:
    assert metrics.scrape(accept)[1] == content_type


def test_both_formats_can_be_parsed_and_say_the_same(metrics: Metrics) -> None:
    metrics.answered(ANSWERED)
    metrics.watch(lanes=lambda: 1, waiting=lambda: 2, actions=lambda: (4, 1), log_lines_dropped=lambda: 3)
    text = metrics.scrape("text/plain")[0].decode()
    openmetrics = metrics.scrape("application/openmetrics-text")[0].decode()

    def ours(families: object) -> set[tuple[str, str, float]]:
        return {
            (sample.name, str(sorted(sample.labels.items())), sample.value)
            for family in families  # type: ignore[attr-defined]
            for sample in family.samples
            if sample.name.startswith("tai_")
        }

    assert ours(parse_text(text)) == ours(parse_openmetrics(openmetrics)) != set()


def test_two_registries_do_not_meet() -> None:
    first, second = Metrics(environment="a"), Metrics(environment="b")
    first.conflicted()
    assert (value(first, "tai_conflicts_total"), value(second, "tai_conflicts_total")) == (1, 0)
