"""The dashboard of Grafana: two panels a line, from any Prometheus and for any of its deployments."""

from typing import Any, Final

from observability.panels import ROWS, Panel
from observability.promql import for_prometheus

WIDTH: Final = 12
HEIGHT: Final = 8
UNITS: Final = {"seconds": "s", "per second": "ops", "share": "percentunit", "bytes": "bytes", "count": "short"}
SOURCE: Final = {"type": "prometheus", "uid": "${source}"}


def dashboard() -> dict[str, Any]:
    panels: list[dict[str, Any]] = []
    down = 0
    for title, row in ROWS.items():
        panels.append(
            {
                "type": "row",
                "title": title,
                "id": len(panels) + 1,
                "gridPos": {"x": 0, "y": down, "w": 2 * WIDTH, "h": 1},
                "collapsed": False,
                "panels": [],
            }
        )
        down += 1
        for place, panel in enumerate(row):
            panels.append(_panel(panel, len(panels) + 1, place % 2 * WIDTH, down + place // 2 * HEIGHT))
        down += (len(row) + 1) // 2 * HEIGHT
    return {
        "uid": "tai-autonomics",
        "title": "TAI Autonomics",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_sources(), _deployments()]},
        "panels": panels,
    }


def _panel(panel: Panel, number: int, left: int, down: int) -> dict[str, Any]:
    return {
        "type": "timeseries",
        "title": panel.title,
        "id": number,
        "gridPos": {"x": left, "y": down, "w": WIDTH, "h": HEIGHT},
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": UNITS[panel.unit], "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": _chosen(query), "legendFormat": legend}
            for place, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def _chosen(query: str) -> str:
    """Of the deployments that are chosen above."""
    return f'({for_prometheus(query)}) and on (job) tai_build_info{{job=~"$job"}}'


def _sources() -> dict[str, Any]:
    return {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}


def _deployments() -> dict[str, Any]:
    return {
        "name": "job",
        "type": "query",
        "label": "Deployment",
        "datasource": SOURCE,
        "query": {"query": "label_values(tai_build_info, job)", "refId": "job"},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "current": {"text": "All", "value": "$__all"},
    }
