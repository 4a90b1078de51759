"""
What watches the service asks for what the service tells, is written from its source, and says what to do.

`python -m observability` writes the generated files anew.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from observability.alerts import ALERTS, Alert
from observability.promql import for_prometheus
from observability.records import RECORDS
from observability.writing import ROOT, files
from prometheus_client.parser import text_string_to_metric_families
from tests.house import test_metrics_document
from tests.house.exposed import ROUTES, Labels, families_in, labels_in, scraped, values_in
from tests.house.queries import Named, named_in

from tai_autonomics.cli.checklist.telling import METRICS
from tai_autonomics.ingress.replies import REASONS
from tai_autonomics.settings import TABLE

RUNBOOK = (ROOT / "docs" / "RUNBOOK.md").read_text()
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "observability").rglob("*.md")])
TARGET = {"job", "instance", "namespace"}
"""Labels that whoever scrapes adds."""
GOOGLES = {"pubsub_googleapis_com:subscription_oldest_unacked_message_age": {"monitored_resource", "subscription_id"}}
"""What Google's services tell of themselves; the rest is ours."""
NOT_METRICS = {"tai_autonomics", "tai_replaced_"}
"""The package, and how a schema that was moved aside is named."""


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return scraped(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def exposed(text: str) -> Labels:
    """Of ours with a sample of each label, of the process as it is."""
    return labels_in([*text_string_to_metric_families(text), *test_metrics_document.scraped()])


def queries() -> Iterator[tuple[str, str]]:
    """Every query of every delivered file, with where it is."""
    for path in files():
        read = (ROOT / path).read_text()
        content = yaml.safe_load(read) if path.suffix == ".yaml" else json.loads(read)
        for query in _queries_in(content):
            yield str(path), query


def _queries_in(content: Any) -> Iterator[str]:
    match content:
        case dict():
            for key, value in content.items():
                if key in ("expr", "query", "prometheusQuery") and isinstance(value, str):
                    yield value
                else:
                    yield from _queries_in(value)
        case list():
            for value in content:
                yield from _queries_in(value)


ASKED = [(path, query, named_in(query)) for path, query in queries() if query != "prometheus"]


def asked_with(label: str) -> set[str]:
    return {
        value
        for _, _, named in ASKED
        for series, matchers in named.series.items()
        if series not in GOOGLES
        for name, value in matchers
        if name == label
    }


@pytest.mark.parametrize("path", files(), ids=str)
def test_a_generated_file_is_as_its_source_writes_it(path: Path) -> None:
    assert (ROOT / path).read_text() == files()[path], "write it anew: python -m observability"


OBJECTIVES = json.loads((ROOT / "terraform" / "objectives.json").read_text())
FILTERS = [value for objective in OBJECTIVES.values() for value in objective.values() if "metric.type" in str(value)]


def test_the_objectives_are_of_what_is_exposed(exposed: Labels, text: str) -> None:
    assert len(FILTERS) == 3
    for each in FILTERS:
        (metric,) = re.findall(r'metric\.type="prometheus\.googleapis\.com/(\w+)/(?:counter|histogram)"', each)
        series = f"{metric}_bucket" if f"{metric}_bucket" in exposed else metric
        assert set(re.findall(r"metric\.labels\.(\w+)", each)) <= exposed[series]
        assert set(re.findall(r'metric\.labels\.route!="(.*?)"', each)) <= values_in(text, "route")


def test_the_checklist_misses_every_metric_that_an_alert_rests_on() -> None:
    alerts = [alert.query for alert in ALERTS if not alert.cloud_only]
    queries = [for_prometheus(query) for query in (*alerts, *RECORDS.values())]
    series = {each for query in queries for each in named_in(query).series}
    assert {re.sub("_(bucket|count|sum)$", "", each) for each in series} - METRICS == set()
    assert len(series) > 20


def test_every_file_asks_for_something() -> None:
    assert {path for path, _, _ in ASKED} == {str(path) for path in files()} - {"terraform/objectives.json"}
    assert all(named.series or named.records for _, _, named in ASKED)


def test_every_series_that_is_asked_for_is_exposed(exposed: Labels) -> None:
    asked = {series for _, _, named in ASKED for series in named.series}
    assert asked - exposed.keys() - GOOGLES.keys() == set()


def test_every_label_that_is_asked_for_is_one_of_its_series(exposed: Labels) -> None:
    known = {**exposed, **GOOGLES}
    wrong = {
        (series, label)
        for _, _, named in ASKED
        for series, matchers in named.series.items()
        for label, _ in matchers
        if label not in known[series] | TARGET
    }
    assert wrong == set()


def _groupable(named: Named, exposed: Labels) -> set[str]:
    known = {**exposed, **GOOGLES}
    recorded = set().union(*(named_in(RECORDS[record]).grouped for record in named.records)) - {"$by"}
    return set().union(*(known[series] for series in named.series)) | recorded | TARGET


def test_every_label_that_results_are_grouped_by_is_there(exposed: Labels) -> None:
    assert [(path, query) for path, query, named in ASKED if named.grouped - _groupable(named, exposed)] == []


def test_every_recorded_series_that_is_asked_for_is_recorded() -> None:
    assert {record for _, _, named in ASKED for record in named.records} - RECORDS.keys() == set()


def test_every_reason_route_and_check_that_is_asked_for_exists(text: str) -> None:
    assert asked_with("reason") - REASONS.keys() == set()
    assert asked_with("route") - values_in(text, "route") == set()
    assert asked_with("route") == ROUTES.keys()
    assert asked_with("check") - values_in(text, "check") == {"keys", "push_keys"}
    code = "".join(path.read_text() for path in (ROOT / "src" / "tai_autonomics" / "wiring").glob("*.py"))
    assert all(f'{{"{check}": ' in code for check in ("keys", "push_keys"))


def test_every_task_and_outcome_that_is_asked_for_is_told_by_the_code() -> None:
    code = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    assert asked_with("task") == {"plans", "secrets"}
    assert all(f'failed("{task}"' in code for task in asked_with("task"))
    assert all(f'"{outcome}"' in code for outcome in asked_with("outcome"))


def test_a_bucket_that_is_asked_for_is_there(text: str) -> None:
    assert asked_with("le") - values_in(text, "le") == set()


def test_the_documents_name_no_metric_that_is_not_exposed(text: str, exposed: Labels) -> None:
    known = exposed.keys() | families_in(text) | NOT_METRICS
    named = {
        (document.name, name)
        for document in DOCUMENTS
        for name in re.findall(r"(?<![\w:/-])tai_[a-z0-9_]+", document.read_text())
    }
    assert {(document, name) for document, name in named if name not in known} == set()


def test_the_documents_select_by_labels_that_are_there(exposed: Labels) -> None:
    for document in DOCUMENTS:
        for name, given in re.findall(r"(tai_[a-z0-9_]+)\{([^}]*)\}", document.read_text()):
            assert set(re.findall(r"(\w+)[=!]", given)) <= exposed[name], (document.name, name)


@pytest.mark.parametrize("alert", ALERTS, ids=[alert.name for alert in ALERTS])
def test_the_runbook_has_a_section_that_names_the_alert(alert: Alert) -> None:
    _, heading, rest = RUNBOOK.partition(f"\n## {alert.section}\n")
    assert heading, f"docs/RUNBOOK.md has no section {alert.section!r}"
    assert f"`{alert.name}`" in rest.partition("\n## ")[0]


def test_the_runbook_names_no_alert_that_is_not_there() -> None:
    assert set(re.findall(r"`(Tai[A-Za-z]+)`", RUNBOOK)) == {alert.name for alert in ALERTS}


def test_the_runbook_says_of_every_task_what_its_failure_means() -> None:
    code = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    tasks = re.findall(r'(?:\.failed\(|\.failed, |_in_background\(told, )"(\w+)"', code)
    table = RUNBOOK.partition("\n## A background task fails\n")[2].partition("\n## ")[0]
    told = {task for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for task in re.findall(r"`(\w+)`", row)}
    assert len(tasks) > 20
    assert set(tasks) - asked_with("task") == told


def test_the_runbook_names_no_setting_that_nothing_reads() -> None:
    known = {name for setting in TABLE.values() for name in (setting.name, f"{setting.name}_FILE")}
    assert set(re.findall(r"\bTAI_[A-Z_]+\b", RUNBOOK)) - known == set()


def test_a_summary_fits_where_it_is_shown() -> None:
    assert [alert.name for alert in ALERTS if len(alert.summary) > 200] == []
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)
