"""What is counted, under which names, and that no label grows without end."""

from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tai_autonomics import __version__
from tai_autonomics.application.ports import Answered
from tai_autonomics.application.surveying import Surveyed
from tai_autonomics.telemetry import tallies
from tai_autonomics.telemetry.metrics import Metrics
from tai_autonomics.telemetry.tallies import LABEL_CHARACTERS_MAX, LABEL_SETS_MAX, ROUTES_MAX, STATUSES_MAX

ANSWERED = Answered("POST", "/marketplace", 403, 0.004, 210, 900, "req-1", "192.0.2.7", reason="entitlement_inactive")


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = metrics.scrape("")[0].decode()
    found = [sample for family in parse_text(text) for sample in family.samples]
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in found}


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics)[name, tuple(sorted(labels.items()))]


def watch(metrics: Metrics, **other: Any) -> None:
    """As the service does."""
    watched: dict[str, Any] = {
        "lanes": lambda: 1,
        "waiting": lambda: 2,
        "actions": lambda: (4, 1),
        "queue": lambda: (3, 7.5),
        "survey": lambda: Surveyed(12, {"webhook": 3}, 5),
        "check_ages": lambda: {"store": 2.5},
        "log_lines_dropped": lambda: 3,
    }
    metrics.watch(**{**watched, **other})


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


def test_a_head_is_counted_as_the_get_that_it_could_be(metrics: Metrics) -> None:
    for method in ("GET", "HEAD", "HEAD"):
        metrics.answered(Answered(method, "/health", 200, 0.1, 0, 0, "r", ""))
    assert value(metrics, "tai_http_requests_total", method="GET", route="/health", status="200") == 3
    assert "HEAD" not in metrics.scrape("")[0].decode().replace("a HEAD counts", "")


def test_a_label_past_the_bound_is_other(metrics: Metrics) -> None:
    for number in range(LABEL_SETS_MAX + 10):
        metrics.sealed(f"type-{number}")
    metrics.sealed("type-0")
    assert value(metrics, "tai_receipts_total", type="type-0") == 2
    assert value(metrics, "tai_receipts_total", type=f"type-{LABEL_SETS_MAX - 1}") == 1
    assert value(metrics, "tai_receipts_total", type="other") == 10


def test_a_route_past_the_bound_is_other(metrics: Metrics) -> None:
    for number in range(ROUTES_MAX + 10):
        metrics.answered(Answered("GET", f"/{number}", 200, 0.1, 0, 0, "r", ""))
    metrics.answered(Answered("GET", "/0", 404, 0.1, 0, 0, "r", ""))
    assert value(metrics, "tai_http_requests_total", method="GET", route="/0", status="404") == 1
    assert value(metrics, "tai_http_requests_total", method="GET", route="/1", status="200") == 1
    assert value(metrics, "tai_http_requests_total", method="other", route="other", status="200") == 10


def test_a_status_past_the_bound_is_other(metrics: Metrics) -> None:
    for status in range(STATUSES_MAX + 10):
        metrics.answered(Answered("GET", "/", status, 0.1, 0, 0, "r", ""))
    metrics.answered(Answered("GET", "/", 0, 0.1, 0, 0, "r", ""))
    assert value(metrics, "tai_http_requests_total", method="GET", route="/", status="0") == 2
    assert value(metrics, "tai_http_requests_total", method="GET", route="/", status="other") == 10
    assert value(metrics, "tai_http_request_duration_seconds_count", method="GET", route="/") == STATUSES_MAX + 11


@pytest.mark.parametrize("label", ["x" * (LABEL_CHARACTERS_MAX + 1), "caf\xe9", "two\nlines", "\ud800", "\0"])
def test_what_can_be_no_name_of_ours_is_other(metrics: Metrics, label: str) -> None:
    metrics.sealed(label)
    metrics.answered(Answered("GET", label, 200, 0.1, 0, 0, "r", ""))
    assert value(metrics, "tai_receipts_total", type="other") == 1
    assert value(metrics, "tai_http_requests_total", method="GET", route="other", status="200") == 1


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
    metrics.probed("\n", ok=True)
    assert value(metrics, "tai_check_up", check="other") == 1


def test_what_others_count_is_read_at_the_scrape(metrics: Metrics) -> None:
    lanes = [1]
    watch(metrics, lanes=lambda: lanes[0])
    lanes[0] = 9
    assert value(metrics, "tai_lanes") == 9
    assert value(metrics, "tai_commands_waiting") == 2
    assert (value(metrics, "tai_actions_in_hand"), value(metrics, "tai_actions_attempting")) == (4, 1)
    assert (value(metrics, "tai_actions_waiting"), value(metrics, "tai_actions_oldest_due_seconds")) == (3, 7.5)
    assert value(metrics, "tai_check_age_seconds", check="store") == 2.5
    assert value(metrics, "tai_action_budget_left", type="webhook") == 3
    assert value(metrics, "tai_quotas_nearly_used") == 12
    assert value(metrics, "tai_quarantined_messages") == 5
    assert value(metrics, "tai_log_lines_dropped_total") == 3


def test_spans_are_counted_where_traces_go_somewhere(metrics: Metrics) -> None:
    assert "tai_spans" not in metrics.scrape("")[0].decode()
    metrics.watch_spans(exported=lambda: 5, dropped=lambda: 2)
    lines = metrics.scrape("")[0].decode().splitlines()
    assert {"tai_spans_exported_total 5.0", "tai_spans_dropped_total 2.0"} <= set(lines)


def test_a_quarantine_that_was_not_counted_yet_is_not_said_to_be_empty(metrics: Metrics) -> None:
    watch(metrics, survey=Surveyed)
    assert ("tai_quarantined_messages", ()) not in samples(metrics)


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
    watch(metrics)
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


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_a_time_leads_to_the_trace_in_which_it_was_last_seen_where_the_format_can_say_so(metrics: Metrics) -> None:
    for seconds, trace in ((0.004, "0" * 31 + "1"), (0.0045, TRACE), (0.004, ""), (0.3, "")):
        metrics.answered(Answered("GET", "/", 200, seconds, 0, 0, "r", "", trace=trace))
    families = parse_openmetrics(metrics.scrape("application/openmetrics-text")[0].decode())
    found = {
        sample.labels["le"]: sample.exemplar
        for family in families
        for sample in family.samples
        if sample.name == "tai_http_request_duration_seconds_bucket" and sample.exemplar is not None
    }
    assert {limit: (each.labels, each.value) for limit, each in found.items()} == {
        "0.005": ({"trace_id": TRACE}, 0.0045)
    }
    assert TRACE not in metrics.scrape("")[0].decode()


def test_two_registries_do_not_meet() -> None:
    first, second = Metrics(environment="a"), Metrics(environment="b")
    first.conflicted()
    assert (value(first, "tai_conflicts_total"), value(second, "tai_conflicts_total")) == (1, 0)
