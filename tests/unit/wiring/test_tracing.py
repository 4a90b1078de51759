"""OpenTelemetry is for whoever names where spans go; without its extra that stops the start, and says what to do."""

import io
import subprocess
import sys

import pytest

from tai_autonomics.errors import InvalidSetting
from tai_autonomics.settings import Settings
from tai_autonomics.wiring import tracing
from tai_autonomics.wiring.house import telemetry

# A port that nobody listens on.
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "TRACE_SAMPLE_RATIO": "1"}


def test_without_an_endpoint_there_are_no_traces_and_no_count_of_spans() -> None:
    settings = Settings.load({}).settings
    told = telemetry(settings, io.BytesIO())
    assert tracing.traces(settings, told) is None
    tracing.close(None, settings, told)
    assert b"tai_spans" not in told.metrics.scrape("")[0]
    told.logs.close()


def test_spans_that_cannot_be_sent_before_the_end_are_told() -> None:
    settings = Settings.load({**ENDPOINT, "TAI_DRAIN_SECONDS_MAX": "0"}).settings
    stream = io.BytesIO()
    told = telemetry(settings, stream)
    traces = tracing.traces(settings, told)
    assert traces is not None
    assert b"tai_spans_dropped_total 0.0" in told.metrics.scrape("")[0]
    for _ in range(1_000):
        span = traces.request("request", None, 0)
        assert span is not None
        span.end()
    tracing.close(traces, settings, told)
    told.logs.close()
    assert b"spans were not sent before the end" in stream.getvalue()


def test_without_the_extra_an_endpoint_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tai_autonomics.telemetry.traces", None)
    settings = Settings.load(ENDPOINT).settings
    told = telemetry(settings, io.BytesIO())
    with pytest.raises(InvalidSetting, match=r"OpenTelemetry is not installed .*pip install 'tai-autonomics\[otel\]'"):
        tracing.traces(settings, told)
    told.logs.close()


def test_the_service_imports_nothing_of_it_until_it_is_wanted() -> None:
    program = "import sys, tai_autonomics.wiring.serving; sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
