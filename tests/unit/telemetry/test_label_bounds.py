"""However many tenants there are, and whatever they send, a scrape stays small: telemetry, driven as the house does."""

import os
from collections.abc import Iterator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from tests.contract.stores.builders import receipt

from tai_autonomics.application.ports import Answered, Observer
from tai_autonomics.telemetry.logs import Logs
from tai_autonomics.telemetry.metrics import Metrics
from tai_autonomics.telemetry.observer import Telemetry
from tai_autonomics.telemetry.tallies import LABEL_CHARACTERS_MAX
from tai_autonomics.wiring.machine import SystemClock

TENANTS = 100_000
RECEIPT = receipt("acme")
SCRAPE_BYTES_MAX = 200_000
HOSTILE = (
    "/v1/tenants/{n}/receipts",
    "cpu_{n}",
    "reason {n}",
    "../../{n}",
    'a"}} 1\ntai_evil{{n="{n}',
    "\x00{n}",
    "caf\xe9-{n}",
    "\ud800{n}",
    "{n}" * 5_000,
)


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    clock = SystemClock()
    with open(os.devnull, "wb") as nowhere:
        told = Telemetry(Logs(nowhere, clock, level="error", form="json"), Metrics(environment="test"), clock)
        yield told
        told.logs.close()


def drive(told: Observer, tenant: int, label: str) -> None:
    """What one tenant causes, each name of it as hostile as the next."""
    status = 100 + tenant % 500
    trace = f"{tenant:032x}"
    told.answered(Answered("POST", label, status, tenant / 1e4, 1, 1, label, label, trace, label, label, reason=label))
    for method in ("GET", "HEAD", "POST"):
        told.answered(Answered(method, label, status, 0.1, 1, 1, "", "", trace))
    told.answered(Answered(label, "(none)", 404, 0.1, 1, 1, label, label))
    told.decided(label, label, label)
    told.appended(tenant, tenant, tenant / 1e6)
    told.sealed(label)
    told.duplicated(tenant)
    told.store_failed(label)
    told.probed(label, label)
    told.loaded(tenant, 0.1)
    told.went_back(label)
    told.signals_refused(label, 1)
    told.attempted(label, label, 0.1)
    told.gate_asked(label, 1e-6)
    told.settled(label, label, RECEIPT)
    told.pushed(label, tenant / 1e3)
    told.failed(label, ValueError(label))


@pytest.mark.long
def test_a_hundred_thousand_tenants_and_what_they_send_make_no_scrape_large(telemetry: Telemetry) -> None:
    # The longest that pass for names of ours take every place there is.
    for tenant in range(TENANTS):
        drive(telemetry, tenant, f"tenant-{tenant}".ljust(LABEL_CHARACTERS_MAX, "x"))
    for number in range(100):
        for form in HOSTILE:
            drive(telemetry, number, form.format(n=number))
    text = telemetry.metrics.scrape("")[0]
    openmetrics = telemetry.metrics.scrape("application/openmetrics-text")[0]
    assert len(text) < SCRAPE_BYTES_MAX
    assert len(openmetrics) < SCRAPE_BYTES_MAX
    found = {sample.name for family in parse_text(text.decode()) for sample in family.samples}
    assert found == {sample.name for family in parse_openmetrics(openmetrics.decode()) for sample in family.samples}
    assert {name for name in found if not name.startswith(("tai_", "process_")) or "evil" in name} == set()
    assert b"tai_telemetry_failures_total 0.0" in text
