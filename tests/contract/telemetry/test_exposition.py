"""What a real service exposes, read by prometheus-client's own parsers and judged by Prometheus' promtool."""

import re
import shutil
import subprocess
from collections.abc import Iterable

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from tests.contract.telemetry.conftest import TRACE, Seen
from tests.engines.absence import absent

PROMTOOL_SECONDS_MAX = 30
OURS = re.compile(r"(tai|process)_[a-z0-9]+(_[a-z0-9]+)*")


def value(seen: Seen, name: str, **labels: str) -> float:
    found = [each for family in parse_text(seen.text) for each in family.samples if each.name == name]
    return sum(each.value for each in found if labels.items() <= each.labels.items())


def families(text: str) -> list[Metric]:
    return list(parse_text(text))


def series(parsed: Iterable[Metric]) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """But for the counts of scrapes, which go on between two of them."""
    every = (each for family in parsed for each in family.samples)
    return {(each.name, frozenset(each.labels.items())) for each in every if each.labels.get("route") != "/metrics"}


def test_both_formats_are_parsed_and_hold_the_same_series(seen: Seen) -> None:
    assert series(parse_text(seen.text)) == series(parse_openmetrics(seen.openmetrics)) != set()
    assert series(parse_text(seen.sidecar)) == series(parse_text(seen.text))


def test_every_name_is_ours_says_its_unit_and_a_counter_says_that_it_is_one(seen: Seen) -> None:
    for family in families(seen.text):
        assert OURS.fullmatch(family.name), family.name
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram")
        totals = {sample.name.endswith("_total") for sample in family.samples}
        assert totals <= {family.type == "counter"}
        if re.search(r"_(duration|age|oldest)_", family.name):
            assert family.name.endswith("_seconds")


def test_promtool_finds_nothing_to_complain_of(seen: Seen) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        absent("promtool", "apt-get install --no-install-recommends prometheus")
    for text in (seen.text, seen.sidecar):
        checked = subprocess.run(
            [promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=PROMTOOL_SECONDS_MAX
        )
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_promtool_would_complain(seen: Seen) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        absent("promtool", "apt-get install --no-install-recommends prometheus")
    worse = seen.text.replace("tai_conflicts_total", "tai_conflicts")
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=worse, capture_output=True, text=True, timeout=PROMTOOL_SECONDS_MAX
    )
    assert checked.returncode != 0
    assert "tai_conflicts" in checked.stderr + checked.stdout


def test_what_happened_is_in_it(seen: Seen) -> None:
    assert value(seen, "tai_actions_total", type="webhook", outcome="succeeded") == 1
    assert value(seen, "tai_action_attempts_total", type="webhook", outcome="succeeded") == 1
    assert value(seen, "tai_action_budget_left", type="webhook") in (99, 100)
    assert value(seen, "tai_actions_waiting") == 0
    assert value(seen, "tai_push_messages_total", outcome="decided") == 1
    assert value(seen, "tai_push_messages_total", outcome="quarantined") == 1
    assert value(seen, "tai_push_messages_total", outcome="refused") == 1
    assert value(seen, "tai_push_message_age_seconds_count") == 1
    assert 3 <= value(seen, "tai_push_message_age_seconds_sum") < 60
    assert value(seen, "tai_commands_total", command="expire") == 1
    assert value(seen, "tai_http_problems_total", reason="malformed_envelope") == 1
    assert value(seen, "tai_check_up", check="store") == 1
    assert 0 <= value(seen, "tai_check_age_seconds", check="store") < 30
    assert value(seen, "tai_telemetry_failures_total") == 0


def test_a_time_leads_to_its_trace_in_openmetrics(seen: Seen) -> None:
    samples = [each for family in parse_openmetrics(seen.openmetrics) for each in family.samples]
    traced = [each for each in samples if each.exemplar is not None]
    assert {each.exemplar.labels["trace_id"] for each in traced if each.exemplar} == {TRACE}
    assert {each.labels["route"] for each in traced} == {"/marketplace", "/pubsub"}


@pytest.mark.parametrize("format", ["text", "openmetrics", "sidecar"])
def test_no_tenant_and_nothing_that_a_caller_chose_is_in_it(seen: Seen, format: str) -> None:
    text = getattr(seen, format)
    assert not re.search(r'"[^"]*\b(acme|brief|other|ent_1|nowhere|cpu|poison)\b[^"]*"', text)
