"""What is computed once and asked often: the recorded series, by name."""

from typing import Final

from observability.promql import quantile, ratio

PROBES: Final = "/health|/health/live|/metrics"
"""Routes that no customer calls: a load balancer's and a scraper's."""
SLOW_SECONDS: Final = 0.5
"""A bucket's limit of `tai_http_request_duration_seconds`, so that what is slow is counted and not estimated."""
WINDOWS: Final = ("5m", "30m", "1h", "6h", "3d")

_REQUESTS: Final = f'tai_http_requests_total{{route!~"{PROBES}"}}'
_ERRORS: Final = f'tai_http_requests_total{{route!~"{PROBES}",status=~"5.."}}'
_TIMES: Final = f'{{route!~"{PROBES}"}}'
_TIMED: Final = f"tai_http_request_duration_seconds_count{_TIMES}"
_WITHIN: Final = f'tai_http_request_duration_seconds_bucket{{route!~"{PROBES}",le="{SLOW_SECONDS}"}}'


def _slow(window: str) -> str:
    timed = f"sum by ($by) (rate({_TIMED}[{window}]))"
    return f"1 - sum by ($by) (rate({_WITHIN}[{window}])) / {timed}"


RECORDS: Final[dict[str, str]] = {
    "job:tai_http_requests:rate5m": f"sum by ($by) (rate({_REQUESTS}[5m]))",
    **{f"job:tai_http_errors:ratio_rate{window}": ratio(_ERRORS, _REQUESTS, window) for window in WINDOWS},
    **{f"job:tai_http_slow:ratio_rate{window}": _slow(window) for window in WINDOWS},
    **{
        f"job:tai_http_request_duration_seconds:p{percent}_5m": quantile(
            percent / 100, "tai_http_request_duration_seconds", "5m", matching=_TIMES
        )
        for percent in (50, 95, 99)
    },
    **{
        f"job:tai_append_duration_seconds:p{percent}_5m": quantile(percent / 100, "tai_append_duration_seconds", "5m")
        for percent in (50, 99)
    },
}
