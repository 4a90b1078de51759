"""
Traces, where they go somewhere: OpenTelemetry is imported for a process that has an endpoint to send them to.
"""

from typing import TYPE_CHECKING, Final

from tai_autonomics.errors import InvalidSetting
from tai_autonomics.settings import Settings
from tai_autonomics.telemetry.observer import Telemetry
from tai_autonomics.wiring.machine import SystemClock

if TYPE_CHECKING:
    from tai_autonomics.telemetry.traces import Traces

PATH: Final = "/v1/traces"
"""Below the endpoint (OTLP 1.x, "OTLP/HTTP Request")."""
FLUSH_SHARE: Final = 0.1
"""Of the time to drain, after everything else has ended."""


def traces(settings: Settings, told: Telemetry) -> "Traces | None":
    """None where no endpoint is set. Connects to nothing. Raises InvalidSetting where the SDK is not installed."""
    if settings.otlp_endpoint is None:
        return None
    try:
        from tai_autonomics.telemetry.traces import Traces, otlp_exporter
    except ModuleNotFoundError as error:
        raise InvalidSetting(
            f"OTEL_EXPORTER_OTLP_ENDPOINT: OpenTelemetry is not installed ({error}): pip install 'tai-autonomics[otel]'"
        ) from error
    resource = {"service.name": "tai-autonomics", "deployment.environment.name": settings.environment}
    if settings.gcp_project_id is not None:
        resource["gcp.project_id"] = settings.gcp_project_id
    found = Traces(
        otlp_exporter(settings.otlp_endpoint + PATH),
        SystemClock(),
        ratio=settings.trace_sample_ratio,
        resource=resource,
        not_told=told.metrics.not_told,
    )
    told.metrics.watch_spans(exported=lambda: found.queue.exported, dropped=lambda: found.queue.dropped)
    return found


def close(found: "Traces | None", settings: Settings, told: Telemetry) -> None:
    """Send what waits, within its share of the time to drain."""
    if found is not None and (lost := found.close(timeout_seconds=settings.drain_seconds_max * FLUSH_SHARE)):
        told.logs.log.warning("spans were not sent before the end", count=lost)
