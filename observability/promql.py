"""
Queries as text, for Prometheus and for Google's Managed Prometheus.

`$by` stands for the label that tells deployments apart, `$target` for what selects the watched one: Prometheus has one
job for each deployment; Google's sidecar on Cloud Run calls every job the same, and the service `namespace`.
"""

import re
from collections.abc import Mapping
from string import Template
from typing import Final

PROMETHEUS: Final = {"by": "job", "target": ""}
GOOGLE: Final = {"by": "namespace", "target": 'namespace="$service"'}
"""`$service` is filled in by Terraform, with its variable of that name."""

RECORD: Final = re.compile(r"\bjob:[a-z0-9_]+:[a-z0-9_]+\b")
"""How a recorded series is named: what it is by, what it is of, what was done to it."""


def for_prometheus(query: str) -> str:
    return Template(query).substitute(PROMETHEUS)


def for_google(query: str, records: Mapping[str, str]) -> str:
    """Nothing records there, so the recorded queries are put in the place of their names."""
    written_out = RECORD.sub(lambda found: f"({records[found[0]]})", query)
    return Template(written_out).safe_substitute(GOOGLE)


def ratio(part: str, whole: str, window: str) -> str:
    """How much of a rate is of a kind: 0 while there is none of it, nothing while there is nothing at all."""
    all_of_it = f"sum by ($by) (rate({whole}[{window}]))"
    return f"(sum by ($by) (rate({part}[{window}])) or 0 * {all_of_it}) / {all_of_it}"


def quantile(share: float, histogram: str, window: str, *, matching: str = "") -> str:
    return f"histogram_quantile({share}, sum by ($by, le) (rate({histogram}_bucket{matching}[{window}])))"


def happened(counter: str, minutes: int, *, by: str = "$by") -> str:
    """
    Whether a count rose, also where its series begins with the first of it, which no rate sees.

    Of an instance that was not watched before, what it counts may be long ago, unless it is younger than that.
    """
    window = f"{minutes}m"
    risen = f"sum by ({by}) (increase({counter}[{window}])) > 0"
    known = f"(tai_build_info offset {window} or process_start_time_seconds > time() - {minutes * 60})"
    begun = f"sum by ({by}) ({counter} unless {counter} offset {window} and on (instance) {known}) > 0"
    return f"{risen} or {begun}"
