"""Which metrics the service exposes, with which labels."""

from collections.abc import Iterable
from pathlib import Path

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from tests.journey.service import Service

ROUTES = {"/health": "GET", "/health/live": "GET", "/metrics": "GET", "/pubsub": "POST"}
"""Called, each by its method, so that their names are among the values of the label `route`."""

Labels = dict[str, set[str]]
"""Of each series its labels' names."""


def scraped(directory: Path) -> str:
    """A started service's /metrics, after a call of each of ROUTES and a grant."""
    grant = {"tenant_id": "acme", "entitlement_id": "ent_1", "action": "grant", "plan": "professional"}
    with Service(directory) as service, service.client() as client:
        assert client.post("/marketplace", json=grant).status_code == 200
        for route, method in ROUTES.items():
            client.request(method, route)
        return client.get("/metrics").text


def labels_in(families: Iterable[Metric]) -> Labels:
    """By series, those of a histogram too."""
    found: Labels = {}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def families_in(text: str) -> set[str]:
    return {family.name for family in text_string_to_metric_families(text)}


def values_in(text: str, label: str) -> set[str]:
    return {
        sample.labels[label]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if label in sample.labels
    }
