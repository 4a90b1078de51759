"""What must still stand after an attack: every ledger and the quarantine as they were, and a service that answers."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.journey.ledgers import exported, quarantined
from tests.journey.service import Service


@contextmanager
def untouched(service: Service) -> Iterator[None]:
    """Fails when anything was written meanwhile, or when the service is not well afterwards."""
    before = exported(service.data_dir), quarantined(service.data_dir)
    yield
    assert (exported(service.data_dir), quarantined(service.data_dir)) == before
    with service.client("") as anyone:
        answer = anyone.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
