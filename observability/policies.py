"""The alert policies and the objectives of Cloud Monitoring, as terraform/alerts.tf takes them."""

from typing import Any, Final

from observability.alerts import ALERTS, AVAILABILITY, LATENCY, Alert
from observability.promql import for_google
from observability.records import PROBES, RECORDS, SLOW_SECONDS

SEVERITIES: Final = {"critical": "CRITICAL", "warning": "WARNING"}


def policies() -> dict[str, Any]:
    return {alert.name: policy(alert) for alert in ALERTS}


def policy(alert: Alert) -> dict[str, Any]:
    return {
        "severity": SEVERITIES[alert.severity],
        "summary": alert.summary,
        "anchor": alert.anchor,
        "query": for_google(alert.query, RECORDS),
        "duration": f"{alert.minutes * 60}s",
    }


def objectives() -> dict[str, Any]:
    """What is promised, in the words of its filters: of ours, without the routes that no customer calls."""
    requests = _filter("tai_http_requests_total/counter")
    return {
        "availability": {
            "goal": AVAILABILITY.promise,
            "name": f"{AVAILABILITY.promise * 100:g} % {AVAILABILITY.what}",
            "bad": f'{requests} metric.labels.status=monitoring.regex.full_match("5..")',
            "total": requests,
        },
        "latency": {
            "goal": LATENCY.promise,
            "name": f"{LATENCY.promise * 100:g} % {LATENCY.what}",
            "times": _filter("tai_http_request_duration_seconds/histogram"),
            "seconds_max": SLOW_SECONDS,
        },
    }


def _filter(metric: str) -> str:
    """Of one metric of the watched service, as Cloud Monitoring's filters have it."""
    asked = (f'metric.labels.route!="{route}"' for route in PROBES.split("|"))
    target = 'resource.type="prometheus_target" resource.labels.namespace="$service"'
    return " ".join((f'metric.type="prometheus.googleapis.com/{metric}"', target, *asked))
