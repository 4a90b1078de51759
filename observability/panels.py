"""What is on the dashboard, from the customer inwards: requests, decisions, the loop, the store, the process."""

from typing import Final, Literal

from msgspec import Struct

from observability.promql import quantile
from observability.records import PROBES

Unit = Literal["seconds", "per second", "share", "bytes", "count"]


class Panel(Struct, frozen=True, kw_only=True):
    """`queries` are a legend each, with `{{label}}` for a label's value, and a query (see promql.py)."""

    title: str
    unit: Unit
    queries: dict[str, str]


def rate(counter: str, *by: str) -> str:
    return f"sum by ({', '.join(('$by', *by))}) (rate({counter}[5m]))"


def each(gauge: str) -> str:
    """Of each instance."""
    return f"sum by ($by, instance) ({gauge})"


def own(measure: str) -> str:
    """Of each instance, of what every process tells: ours alone."""
    return f"sum by ($by, instance) ({measure} and on (instance) tai_build_info)"


ROWS: Final[dict[str, tuple[Panel, ...]]] = {
    "Requests": (
        Panel(
            title="Latency",
            unit="seconds",
            queries={f"p{each}": f"job:tai_http_request_duration_seconds:p{each}_5m" for each in (50, 95, 99)},
        ),
        Panel(
            title="Errors (5xx) and slow requests, of all",
            unit="share",
            queries={
                "5xx, 5 minutes": "job:tai_http_errors:ratio_rate5m",
                "5xx, 1 hour": "job:tai_http_errors:ratio_rate1h",
                "over 500 ms, 5 minutes": "job:tai_http_slow:ratio_rate5m",
                "over 500 ms, 1 hour": "job:tai_http_slow:ratio_rate1h",
            },
        ),
        Panel(
            title="Requests",
            unit="per second",
            queries={"{{route}} {{status}}": rate(f'tai_http_requests_total{{route!~"{PROBES}"}}', "route", "status")},
        ),
        Panel(
            title="Problems by reason",
            unit="per second",
            queries={"{{reason}}": rate("tai_http_problems_total", "reason")},
        ),
    ),
    "Decisions": (
        Panel(
            title="Commands by outcome",
            unit="per second",
            queries={"{{command}} {{outcome}}": rate("tai_commands_total", "command", "outcome")},
        ),
        Panel(
            title="Refusals by reason", unit="per second", queries={"{{reason}}": rate("tai_refusals_total", "reason")}
        ),
        Panel(
            title="One gate, p99",
            unit="seconds",
            queries={
                "{{gate}}": (
                    "histogram_quantile(0.99, sum by ($by, gate, le) (rate(tai_gate_duration_seconds_bucket[15m])))"
                )
            },
        ),
        Panel(title="Receipts by type", unit="per second", queries={"{{type}}": rate("tai_receipts_total", "type")}),
    ),
    "Signals and actions": (
        Panel(
            title="Attempts of actions",
            unit="per second",
            queries={"{{type}} {{outcome}}": rate("tai_action_attempts_total", "type", "outcome")},
        ),
        Panel(
            title="One attempt",
            unit="seconds",
            queries={
                f"p{each}": quantile(each / 100, "tai_action_attempt_duration_seconds", "15m") for each in (50, 99)
            },
        ),
        Panel(
            title="Actions in hand",
            unit="count",
            queries={
                "in hand {{instance}}": each("tai_actions_in_hand"),
                "reaching out {{instance}}": each("tai_actions_attempting"),
            },
        ),
        Panel(
            title="Actions settled, by how they ended",
            unit="per second",
            queries={"{{type}} {{outcome}}": rate("tai_actions_total", "type", "outcome")},
        ),
        Panel(
            title="Actions that wait",
            unit="count",
            queries={"{{instance}}": each("tai_actions_waiting")},
        ),
        Panel(
            title="For how long the oldest has been due",
            unit="seconds",
            queries={"{{instance}}": each("tai_actions_oldest_due_seconds")},
        ),
        Panel(
            title="Fleet's budgets: actions left",
            unit="count",
            queries={"{{type}}": "min by ($by, type) (tai_action_budget_left)"},
        ),
        Panel(
            title="Budgets that refused an action",
            unit="per second",
            queries={"{{reason}}": rate('tai_refusals_total{reason="action_budget_exhausted"}', "reason")},
        ),
        Panel(
            title="Signals refused, by reason",
            unit="per second",
            queries={"{{reason}}": rate("tai_signals_refused_total", "reason")},
        ),
        Panel(
            title="Pub/Sub pushes by status",
            unit="per second",
            queries={"{{status}}": rate('tai_http_requests_total{route="/pubsub"}', "status")},
        ),
    ),
    "Pub/Sub and quotas": (
        Panel(
            title="Push messages by what became of them",
            unit="per second",
            queries={"{{outcome}}": rate("tai_push_messages_total", "outcome")},
        ),
        Panel(
            title="Age of a message when it was decided",
            unit="seconds",
            queries={f"p{each}": quantile(each / 100, "tai_push_message_age_seconds", "5m") for each in (50, 95)},
        ),
        Panel(
            title="Messages in quarantine",
            unit="count",
            queries={"messages": "max by ($by) (tai_quarantined_messages)"},
        ),
        Panel(
            title="Tenants with a quota nearly used",
            unit="count",
            queries={"tenants {{instance}}": each("tai_quotas_nearly_used")},
        ),
    ),
    "Lanes and store": (
        Panel(
            title="Lanes and waiting commands",
            unit="count",
            queries={
                "lanes {{instance}}": each("tai_lanes"),
                "waiting {{instance}}": each("tai_commands_waiting"),
            },
        ),
        Panel(
            title="One append",
            unit="seconds",
            queries={f"p{each}": f"job:tai_append_duration_seconds:p{each}_5m" for each in (50, 99)},
        ),
        Panel(
            title="Batch of an append, median",
            unit="count",
            queries={
                "receipts": quantile(0.5, "tai_append_receipts", "5m"),
                "tenants": quantile(0.5, "tai_append_tenants", "5m"),
            },
        ),
        Panel(
            title="Conflicts, duplicates, errors",
            unit="per second",
            queries={
                "conflicts": rate("tai_conflicts_total"),
                "duplicates": rate("tai_duplicates_total"),
                "errors {{verb}}": rate("tai_store_errors_total", "verb"),
            },
        ),
        Panel(
            title="Cold lanes",
            unit="seconds",
            queries={
                f"load p{each}": quantile(each / 100, "tai_lane_load_duration_seconds", "5m") for each in (50, 99)
            },
        ),
        Panel(
            title="Health checks (1 passes)",
            unit="count",
            queries={"{{check}}": "min by ($by, check) (tai_check_up)"},
        ),
        Panel(
            title="Since a health check ended",
            unit="seconds",
            queries={"{{check}}": "max by ($by, check) (tai_check_age_seconds)"},
        ),
    ),
    "Process": (
        Panel(
            title="CPU, of one core",
            unit="share",
            queries={"{{instance}}": own("rate(process_cpu_seconds_total[5m])")},
        ),
        Panel(
            title="Memory",
            unit="bytes",
            queries={"{{instance}}": own("process_resident_memory_bytes")},
        ),
        Panel(
            title="File descriptors, of those allowed",
            unit="share",
            queries={"{{instance}}": own("process_open_fds / process_max_fds")},
        ),
        Panel(
            title="Failures of background tasks, lost telemetry",
            unit="per second",
            queries={
                "{{task}}": rate("tai_background_failures_total", "task"),
                "log lines lost": rate("tai_log_lines_dropped_total"),
                "events lost": rate("tai_telemetry_failures_total"),
            },
        ),
    ),
}
