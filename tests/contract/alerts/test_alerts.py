"""Each alert fires on its fault and only then, as Prometheus itself decides it, in both forms of the rules."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from observability import grafana_dashboard, policies, rules
from observability.alerts import ALERTS, GROUPS, Alert
from observability.panels import ROWS
from observability.promql import for_google
from observability.records import RECORDS
from tests.contract.alerts.judging import RULES, found_promtool, judged, unit_test
from tests.contract.alerts.scenes import SCENES, Scene
from tests.contract.alerts.series import BEGINS, HEALTHY, MINUTES, SUBSCRIPTION

FORMS = ("prometheus", "google")


@pytest.fixture(scope="session")
def promtool() -> str:
    return found_promtool()


def alerts_of(form: str) -> list[Alert]:
    return [alert for alert in ALERTS if form == "google" or not alert.cloud_only]


def rule_files(form: str, directory: Path) -> list[Path]:
    """Prometheus' are those that are delivered; Google's queries are put into a rule file of their own."""
    if form == "prometheus":
        return RULES
    groups = [
        {"name": group, "rules": [rules.rule(alert, asked_of_google(alert)) for alert in alerts]}
        for group, alerts in GROUPS.items()
    ]
    file = directory / "google.yaml"
    file.write_text(yaml.safe_dump({"groups": groups}))
    return [file]


def asked_of_google(alert: Alert) -> str:
    """With what Terraform fills in."""
    query: str = policies.policy(alert)["query"]
    return query.replace("$subscription", SUBSCRIPTION).replace("$service", "tai")


def firing(alert: Alert, form: str, labels: Mapping[str, str]) -> dict[str, Any]:
    deployment = {"job": "tai"} if form == "prometheus" else {"namespace": "tai"}
    if alert.cloud_only or (alert.name == "TaiAbsent" and form == "prometheus"):
        deployment = {}
    written = rules.rule(alert, "")
    return {
        "exp_labels": {**deployment, **labels, **written["labels"]},
        "exp_annotations": written["annotations"],
    }


def question(alert: Alert, form: str, minute: int, fires: tuple[tuple[str, Mapping[str, str]], ...]) -> dict[str, Any]:
    return {
        "eval_time": f"{minute}m",
        "alertname": alert.name,
        "exp_alerts": [firing(alert, form, labels) for name, labels in fires if name == alert.name],
    }


def test_the_rule_files_are_sound(promtool: str) -> None:
    assert len(RULES) == 2
    assert judged(promtool, "check", "rules", *RULES) == ""


def test_every_query_of_the_dashboards_can_be_asked(promtool: str, tmp_path: Path) -> None:
    panels = [panel for row in ROWS.values() for panel in row]
    shown = [target["expr"] for panel in grafana_dashboard.dashboard()["panels"] for target in panel.get("targets", [])]
    asked = [for_google(query, RECORDS) for panel in panels for query in panel.queries.values()]
    rendered = [{"record": f"panel:{place}", "expr": query} for place, query in enumerate([*shown, *asked])]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rendered}]}, width=10_000))
    assert len(shown) == len(asked) > 30
    assert judged(promtool, "check", "rules", file) == ""


def test_every_alert_has_its_fault() -> None:
    assert {name for scene in SCENES for name, _ in scene.fires} == {alert.name for alert in ALERTS}


@pytest.mark.parametrize("form", FORMS)
def test_no_alert_fires_while_all_is_well(promtool: str, form: str, tmp_path: Path) -> None:
    asked = [question(alert, form, minute, ()) for alert in alerts_of(form) for minute in range(0, MINUTES, 5)]
    file = tmp_path / "well.yaml"
    file.write_text(unit_test(rule_files(form, tmp_path), HEALTHY, alert_rule_test=asked))
    assert judged(promtool, "test", "rules", file) == ""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scene", SCENES, ids=[scene.fault for scene in SCENES])
def test_a_fault_fires_its_alerts_and_no_other(promtool: str, scene: Scene, form: str, tmp_path: Path) -> None:
    fires = scene.fires if scene.only in ("", form) else ()
    asked = [
        question(alert, form, minute, fires if minute == scene.at else ())
        for alert in alerts_of(form)
        for minute in (BEGINS, scene.at)
    ]
    file = tmp_path / "fault.yaml"
    file.write_text(unit_test(rule_files(form, tmp_path), {**HEALTHY, **scene.changed}, alert_rule_test=asked))
    assert judged(promtool, "test", "rules", file) == ""
