"""The service of which TELEMETRY measures how fast it is untold tells nothing, whatever an Observer comes to hear."""

import io

from benchmarks.peers.untold import HEARD, untold

from tai_autonomics.application.ports import Answered
from tai_autonomics.settings import Settings

ANSWERED = Answered("GET", "/health", 200, 0.001, 0, 2, "req-1", "192.0.2.7")


def test_nothing_is_logged_and_nothing_counted() -> None:
    stream = io.BytesIO()
    telemetry = untold(Settings.load({"LOG_FORMAT": "json"}).settings, stream)
    before = telemetry.metrics.scrape("")[0].split(b"tai_", 1)[1]
    telemetry.answered(ANSWERED)
    for name in HEARD:
        getattr(telemetry, name)(ANSWERED)
    assert telemetry.metrics.scrape("")[0].split(b"tai_", 1)[1] == before
    telemetry.logs.close()
    assert stream.getvalue() == b""


def test_everything_that_an_observer_hears_is_left_out() -> None:
    assert {"answered", "decided", "sealed", "appended", "pushed", "failed"} <= set(HEARD)
