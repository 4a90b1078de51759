"""
docs/RUNBOOK.md lists what /metrics exposes, no more and no less.

`python -m tests.house.test_metrics_document` writes its table anew.
"""

import os
import re
from pathlib import Path
from typing import Final, get_args

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families as parse_text
from tests.contract.stores.builders import receipt

from tai_autonomics.application.ports import Answered
from tai_autonomics.application.surveying import Surveyed
from tai_autonomics.domain.actions import ActionType, Result
from tai_autonomics.domain.gates import Gate
from tai_autonomics.ingress.replies import REASONS
from tai_autonomics.ingress.routes import routes
from tai_autonomics.telemetry.logs import Logs
from tai_autonomics.telemetry.metrics import TASKS_MAX, Metrics
from tai_autonomics.telemetry.observer import Telemetry
from tai_autonomics.telemetry.tallies import (
    FEW_MAX,
    LABEL_CHARACTERS_MAX,
    LABEL_SETS_MAX,
    METHODS,
    OTHER,
    ROUTES_MAX,
    STATUSES_MAX,
)
from tai_autonomics.wiring.machine import SystemClock

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "RUNBOOK.md"
BEGIN, END = "<!-- metrics: begin -->\n", "<!-- metrics: end -->\n"
UNITS: Final = {
    "tai_action_budget_left": "actions",
    "tai_actions_attempting": "attempts",
    "tai_actions_in_hand": "actions",
    "tai_actions_waiting": "actions",
    "tai_build_info": "always 1",
    "tai_check_up": "0 or 1",
    "tai_commands_waiting": "commands",
    "tai_ledgers_went_back": "ledgers",
    "tai_log_lines_dropped": "lines",
    "tai_quotas_nearly_used": "tenants",
    "tai_signals_refused": "signals",
    "tai_spans_dropped": "spans",
    "tai_spans_exported": "spans",
}
"""Where the name's last word is not the unit."""


def scraped() -> list[Metric]:
    """Every metric of ours, each with a sample of each of its labels."""
    clock = SystemClock()
    metrics = Metrics(environment="test")
    metrics.watch(
        lanes=lambda: 1,
        waiting=lambda: 1,
        actions=lambda: (1, 1),
        queue=lambda: (1, 1.0),
        survey=lambda: Surveyed(1, {"webhook": 1}, 1),
        check_ages=lambda: {"store": 1.0},
        log_lines_dropped=lambda: 0,
    )
    metrics.watch_spans(exported=lambda: 1, dropped=lambda: 0)
    with open(os.devnull, "wb") as nowhere:
        told = Telemetry(Logs(nowhere, clock, level="error", form="json"), metrics, clock)
        told.answered(Answered("GET", "/health", 503, 0.001, 0, 2, "r", "", reason="draining"))
        told.decided("verify", "refusal", "entitlement_inactive")
        told.sealed("refusal")
        told.gate_asked("compliance_permits", 1e-6)
        told.store_failed("append")
        told.probed("store", "")
        told.signals_refused("stale", 1)
        told.attempted("webhook", "succeeded", 0.1)
        told.settled("webhook", "succeeded", receipt("acme"))
        told.pushed("decided", 0.1)
        told.failed("timers", ValueError())
        told.logs.close()
    families = parse_text(metrics.scrape("")[0].decode())
    return sorted((each for each in families if each.name.startswith("tai_")), key=lambda each: each.name)


def name_of(metric: Metric) -> str:
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def unit_of(metric: Metric) -> str:
    return UNITS.get(metric.name, metric.name.rpartition("_")[2])


def labels_of(metric: Metric) -> list[str]:
    return sorted({label for sample in metric.samples for label in sample.labels} - {"le"})


def table() -> str:
    rows = ["| metric | type | unit | labels | meaning |", "|---|---|---|---|---|", *map(row, scraped())]
    return "".join(f"{line}\n" for line in rows)


def row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in labels_of(metric))
    return f"| `{name_of(metric)}` | {metric.type} | {unit_of(metric)} | {labels} | {metric.documentation} |"


def with_table(text: str) -> str:
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}{table()}{END}{rest.partition(END)[2]}"


def test_the_table_of_the_runbook_is_what_is_exposed() -> None:
    text = DOCUMENT.read_text()
    assert text == with_table(text), "write it anew: python -m tests.house.test_metrics_document"


def test_the_runbook_names_no_metric_that_is_not_there() -> None:
    known = {name_of(metric) for metric in scraped()}
    named = set(re.findall(r"\btai_[a-z_]+\b", DOCUMENT.read_text()))
    assert named - known == set()


def test_no_row_names_a_unit_that_its_metric_contradicts() -> None:
    seconds = {metric.name for metric in scraped() if unit_of(metric) == "seconds"}
    assert seconds == {metric.name for metric in scraped() if "seconds" in metric.name}
    assert set(UNITS) <= {metric.name for metric in scraped()}


def test_every_name_of_ours_fits_into_the_bounds_of_a_scrape() -> None:
    table = routes()
    tasks = [route.name for route in table]
    assert len(table) + len(set(METHODS.values()) | {OTHER}) + 1 <= ROUTES_MAX
    assert len(table) * 12 < STATUSES_MAX
    assert len(tasks) + 20 <= TASKS_MAX
    assert max(map(len, (*tasks, *REASONS))) <= LABEL_CHARACTERS_MAX
    assert len(REASONS) <= LABEL_SETS_MAX
    assert len(get_args(Gate)) <= FEW_MAX
    assert len(get_args(ActionType)) * len(get_args(Result)) <= LABEL_SETS_MAX


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text()))
