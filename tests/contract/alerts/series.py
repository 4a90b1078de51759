"""What a monitoring system sees of two instances that are well: series of one sample a minute."""

from collections.abc import Mapping
from typing import Final

MINUTES: Final = 90
BEGINS: Final = 20
"""The minute after which a fault begins."""
TARGET: Final = 'job="tai",namespace="tai"'
A, B = (f'{TARGET},instance="{name}:9464"' for name in "ab")
SUBSCRIPTION: Final = "erlang-autonomics-signals"
LONG_AGO: Final = -100_000
"""Time begins with 0 here, as promtool has it."""


def steady(value: float) -> str:
    return f"{value}x{MINUTES}"


def turns(before: float, after: float) -> str:
    """A gauge that changes when the fault begins."""
    return f"{before}x{BEGINS} {after}x{MINUTES}"


def grows(a_minute: float) -> str:
    return f"0+{a_minute}x{MINUTES}"


def speeds_up(before: float, after: float) -> str:
    """A counter that grows by so much a minute, and then by so much."""
    return f"0+{before}x{BEGINS} {before * BEGINS + after}+{after}x{MINUTES}"


def bursts(a_minute: float, minutes: int) -> str:
    """A counter that grows for so long, and rests before and after."""
    return f"0x{BEGINS} {a_minute}+{a_minute}x{minutes - 1} {a_minute * minutes}x{MINUTES}"


def begins(values: str) -> str:
    """A series that is not there before the fault."""
    return f"_x{BEGINS + 1} {values}"


def requests(route: str, status: str, target: str = A) -> str:
    return f'tai_http_requests_total{{method="POST",route="{route}",status="{status}",{target}}}'


def times(route: str, le: str, target: str = A) -> str:
    return f'tai_http_request_duration_seconds_bucket{{method="POST",route="{route}",le="{le}",{target}}}'


def timed(route: str, target: str = A) -> str:
    return f'tai_http_request_duration_seconds_count{{method="POST",route="{route}",{target}}}'


def appends(le: str, target: str = A) -> str:
    return f'tai_append_duration_seconds_bucket{{le="{le}",{target}}}'


def of(metric: str, target: str = A, /, **labels: str) -> str:
    named = "".join(f'{name}="{value}",' for name, value in labels.items())
    return f"{metric}{{{named}{target}}}"


def _instance(target: str) -> dict[str, str]:
    return {
        of("tai_build_info", target, version="1", python="3", environment="production"): steady(1),
        requests("/marketplace", "200", target): grows(600),
        requests("/marketplace", "403", target): grows(60),
        requests("/pubsub", "200", target): grows(300),
        requests("/pubsub", "503", target): grows(0.2),
        requests("/marketplace", "503", target): grows(0),
        requests("/health", "503", target): grows(12),
        times("/marketplace", "0.005", target): grows(650),
        times("/marketplace", "0.5", target): grows(659),
        times("/marketplace", "1", target): grows(660),
        times("/marketplace", "+Inf", target): grows(660),
        timed("/marketplace", target): grows(660),
        times("/metrics", "0.5", target): grows(0),
        times("/metrics", "1", target): grows(2),
        times("/metrics", "+Inf", target): grows(2),
        timed("/metrics", target): grows(2),
        of("tai_http_problems_total", target, reason="entitlement_inactive"): grows(60),
        of("tai_http_problems_total", target, reason="overloaded"): grows(1),
        of("tai_http_problems_total", target, reason="internal"): steady(1),
        of("tai_commands_total", target, command="Consume", outcome="transition"): grows(500),
        of("tai_refusals_total", target, reason="quota_exceeded"): grows(5),
        appends("0.05", target): grows(990),
        appends("0.25", target): grows(999),
        appends("1", target): grows(1000),
        appends("+Inf", target): grows(1000),
        of("tai_append_tenants_sum", target): grows(3000),
        of("tai_conflicts_total", target): grows(30),
        of("tai_store_errors_total", target, verb="append"): steady(3),
        of("tai_background_failures_total", target, task="timers"): steady(2),
        of("tai_background_failures_total", target, task="plans"): steady(1),
        **{of("tai_check_up", target, check=check): steady(1) for check in ("store", "clock", "keys", "push_keys")},
        **{of("tai_check_age_seconds", target, check=check): steady(4) for check in ("store", "clock", "keys")},
        of("tai_push_message_age_seconds_bucket", target, le="1.0"): grows(290),
        of("tai_push_message_age_seconds_bucket", target, le="60.0"): grows(297),
        of("tai_push_message_age_seconds_bucket", target, le="300.0"): grows(300),
        of("tai_push_message_age_seconds_bucket", target, le="+Inf"): grows(300),
        of("tai_quarantined_messages", target): f"0x40 3x10 0x{MINUTES}",
        of("tai_quotas_nearly_used", target): steady(0),
        of("tai_actions_oldest_due_seconds", target): steady(5),
        of("tai_actions_total", target, type="webhook", outcome="succeeded"): grows(60),
        of("tai_actions_total", target, type="webhook", outcome="unknown"): steady(1),
        of("tai_action_budget_left", target, type="webhook"): steady(20),
        of("tai_ledgers_went_back_total", target): steady(0),
        of("tai_log_lines_dropped_total", target): steady(0),
        of("tai_telemetry_failures_total", target): steady(0),
        of("tai_signals_refused_total", target, reason="stale"): grows(2),
        of("tai_action_attempts_total", target, type="webhook", outcome="succeeded"): grows(60),
        of("tai_action_attempts_total", target, type="webhook", outcome="failed_temporarily"): grows(6),
        of("process_start_time_seconds", target): steady(LONG_AGO),
        of("process_open_fds", target): steady(100),
        of("process_max_fds", target): steady(1000),
    }


def came(name: str, begins_at: int, ends_at: int) -> dict[str, str]:
    """An instance with a name of its own, from one minute to another."""
    target = f'{TARGET},instance="{name}:9464"'
    there, gone = ends_at - begins_at, f"stale _x{MINUTES}"
    build = of("tai_build_info", target, version="1", python="3", environment="production")
    return {
        build: f"_x{begins_at} 1x{there} {gone}",
        of("process_start_time_seconds", target): f"_x{begins_at} {begins_at * 60}x{there} {gone}",
    }


def backlog(subscription: str) -> str:
    return (
        "pubsub_googleapis_com:subscription_oldest_unacked_message_age"
        f'{{monitored_resource="pubsub_subscription",subscription_id="{subscription}"}}'
    )


HEALTHY: Final[Mapping[str, str]] = {
    **_instance(A),
    **_instance(B),
    # One comes and stays, one had been there for long and goes, a is upgraded once.
    **came("c", 30, MINUTES),
    **came("d", 0, 40),
    of("process_start_time_seconds", A): f"{LONG_AGO}x50 3000x{MINUTES}",
    # What others tell is not ours.
    'process_start_time_seconds{job="other",namespace="other",instance="o:1"}': "0+60x90",
    'process_open_fds{job="other",namespace="other",instance="o:1"}': steady(990),
    'process_max_fds{job="other",namespace="other",instance="o:1"}': steady(1000),
    backlog(SUBSCRIPTION): steady(20),
    backlog("another"): steady(9000),
}
