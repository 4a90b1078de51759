"""The rule files of Prometheus."""

from typing import Any, Final

from observability.alerts import GROUPS, Alert
from observability.promql import for_prometheus
from observability.records import RECORDS

RUNBOOK: Final = "docs/RUNBOOK.md"
EVALUATED: Final = "30s"


def recording() -> dict[str, Any]:
    rules = [{"record": name, "expr": for_prometheus(query)} for name, query in RECORDS.items()]
    return {"groups": [{"name": "tai-recording", "interval": EVALUATED, "rules": rules}]}


def alerting() -> dict[str, Any]:
    """Of those alerts that ask for what the service itself tells."""
    groups = {
        name: [rule(alert, for_prometheus(alert.query)) for alert in alerts if not alert.cloud_only]
        for name, alerts in GROUPS.items()
    }
    return {
        "groups": [
            {"name": f"tai-{name}", "interval": EVALUATED, "rules": rules} for name, rules in groups.items() if rules
        ]
    }


def rule(alert: Alert, query: str) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": query,
        "for": f"{alert.minutes}m",
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "runbook_url": f"{RUNBOOK}#{alert.anchor}"},
    }
