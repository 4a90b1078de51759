"""The dashboard of Cloud Monitoring, as terraform/alerts.tf takes it."""

from typing import Any, Final

from observability.panels import ROWS, Panel
from observability.promql import for_google
from observability.records import RECORDS

WIDTH: Final = 24
HEIGHT: Final = 16
UNITS: Final = {"seconds": "s", "per second": "1/s", "share": "1", "bytes": "By", "count": "1"}


def dashboard() -> dict[str, Any]:
    tiles: list[dict[str, Any]] = []
    down = 0
    for title, row in ROWS.items():
        lines = (len(row) + 1) // 2
        tiles.append(_tile(0, down, 2 * WIDTH, 4, {"title": title, "sectionHeader": {"dividerBelow": True}}))
        down += 4
        tiles += [
            _tile(place % 2 * WIDTH, down + place // 2 * HEIGHT, WIDTH, HEIGHT, _widget(panel))
            for place, panel in enumerate(row)
        ]
        down += lines * HEIGHT
    return {"displayName": "TAI Autonomics", "mosaicLayout": {"columns": 2 * WIDTH, "tiles": tiles}}


def _tile(left: int, down: int, width: int, height: int, widget: dict[str, Any]) -> dict[str, Any]:
    place = {"xPos": left, "yPos": down, "width": width, "height": height}
    # As the service gives it back: a place of 0 is left out, and Terraform sees no difference.
    return {**{name: value for name, value in place.items() if value}, "widget": widget}


def _widget(panel: Panel) -> dict[str, Any]:
    return {
        "title": panel.title,
        "xyChart": {
            "dataSets": [
                {
                    "plotType": "LINE",
                    "targetAxis": "Y1",
                    "legendTemplate": legend.replace("{{", "${metric.labels.").replace("}}", "}"),
                    "timeSeriesQuery": {
                        "prometheusQuery": for_google(query, RECORDS),
                        "unitOverride": UNITS[panel.unit],
                    },
                }
                for legend, query in panel.queries.items()
            ],
            "yAxis": {"scale": "LINEAR"},
        },
    }
