"""
Lines of a real process against what Cloud Logging takes for a field of its own.

Sources: "Structured logging" (cloud.google.com/logging/docs/structured-logging, special fields in structured payloads),
LogEntry (cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry) and, for httpRequest and severity, the protocol
buffers google.logging.type, which Google's own package googleapis-common-protos carries.
"""

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import pytest
from google.logging.type import http_request_pb2, log_severity_pb2
from google.protobuf import json_format
from tests.contract.telemetry.conftest import PROJECT, TRACE, Seen

SEVERITIES: Final = frozenset(log_severity_pb2.LogSeverity.DESCRIPTOR.values_by_name)
RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")


def is_time(value: object) -> bool:
    return isinstance(value, str) and RFC_3339.fullmatch(value) is not None and bool(datetime.fromisoformat(value))


def is_severity(value: object) -> bool:
    return value in SEVERITIES


def is_http_request(value: object) -> bool:
    """Raises ParseError for a member or a type that HttpRequest does not have. Its int64s are text in JSON."""
    assert isinstance(value, dict)
    message = http_request_pb2.HttpRequest()
    json_format.ParseDict(value, message)
    same = json_format.MessageToDict(message, always_print_fields_with_no_presence=False)
    return {name: part for name, part in value.items() if part not in ("", "0", 0) and name != "latency"} == {
        name: part for name, part in same.items() if name != "latency"
    }


def matches(pattern: str) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


FIELDS: Final[dict[str, Callable[[object], bool]]] = {
    "severity": is_severity,
    "time": is_time,
    "message": lambda value: isinstance(value, str) and value != "",
    "httpRequest": is_http_request,
    "logging.googleapis.com/trace": matches(rf"projects/{PROJECT}/traces/[0-9a-f]{{32}}"),
    "logging.googleapis.com/spanId": matches(r"[0-9a-f]{16}"),
    "logging.googleapis.com/trace_sampled": lambda value: isinstance(value, bool),
    "stack_trace": lambda value: isinstance(value, str) and "Mistake" in value,
}
"""What Cloud Logging, and Error Reporting for `stack_trace`, take out of a line."""
RESERVED: Final = frozenset(
    {
        *("timestamp", "timestampSeconds", "timestampNanos", "log", "exception", "@type", "serviceContext"),
        *("insertId", "labels", "operation", "sourceLocation", "logName", "resource", "trace", "spanId"),
    }
)
"""Names that mean something there, and that no field of ours may have by chance."""
OWN: Final = re.compile(r"[a-z][a-z_]*")
HTTP: Final = {"requestMethod", "requestUrl", "requestSize", "status", "responseSize", "remoteIp", "latency"}


def parsed(lines: list[str]) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in lines]
    assert found
    return found


def check(line: dict[str, Any]) -> None:
    """Every field is documented there or plainly ours, and the three that every line has come first."""
    assert list(line)[:3] == ["severity", "time", "message"], line
    for name, value in line.items():
        if name in FIELDS:
            assert FIELDS[name](value), (name, value)
        else:
            assert OWN.fullmatch(name), name
            assert name not in RESERVED
            assert isinstance(value, str | int | bool | None), (name, value)


def of(requests: list[dict[str, Any]], route: str, status: int) -> dict[str, Any]:
    """The first line of a request that ended so."""
    http = ((line["httpRequest"], line) for line in requests)
    return next(line for request, line in http if (request["requestUrl"], request["status"]) == (route, status))


@pytest.fixture(scope="module")
def lines(seen: Seen) -> list[dict[str, Any]]:
    return parsed(seen.lines)


@pytest.fixture(scope="module")
def requests(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if "httpRequest" in line]


def test_every_line_is_one_json_object_of_documented_fields(lines: list[dict[str, Any]], failed: list[str]) -> None:
    for line in (*lines, *parsed(failed)):
        check(line)


def test_what_is_wrong_with_a_line_is_found() -> None:
    good = {"severity": "INFO", "time": "2026-11-24T02:01:33.123456Z", "message": "x"}
    check(good)
    for wrong in (
        {"severity": "info"},
        {"time": "2026-11-24 02:01:33"},
        {"message": ""},
        {"httpRequest": {"requestMethod": "GET", "latency": 0.5}},
        {"httpRequest": {"method": "GET"}},
        {"httpRequest": {"requestSize": "many"}},
        {"logging.googleapis.com/trace": TRACE},
        {"labels": "x"},
        {"spanId": "x"},
        {"tenant": ["x"]},
    ):
        with pytest.raises((AssertionError, json_format.ParseError)):
            check({**good, **wrong})


def test_a_success_is_told_with_whom_it_was_about_and_its_receipt(requests: list[dict[str, Any]]) -> None:
    line = of(requests, "/marketplace", 200)
    assert (line["severity"], line["tenant"], line["caller"]) == ("INFO", "acme", "first-start-admin")
    assert line["logging.googleapis.com/trace"] == f"projects/{PROJECT}/traces/{TRACE}"
    assert re.fullmatch(r"[0-9a-f]{64}", line["receipt"])
    assert line["command_id"].startswith("http:first-start-admin:")
    assert line["httpRequest"].keys() == HTTP
    assert re.fullmatch(r"\d+\.\d{6}s", line["httpRequest"]["latency"])
    assert line["httpRequest"]["remoteIp"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("route", "status", "reason"),
    [
        ("/marketplace", 403, "entitlement_inactive"),
        ("/marketplace", 400, "malformed_request"),
        ("/marketplace", 401, "unauthenticated"),
        ("(none)", 404, "not_found"),
        ("/pubsub", 400, "malformed_envelope"),
    ],
)
def test_a_refusal_is_told_with_its_reason(
    requests: list[dict[str, Any]], route: str, status: int, reason: str
) -> None:
    line = of(requests, route, status)
    assert (line["severity"], line["reason"]) == ("INFO", reason)


def test_pushes_are_told_and_a_quarantined_one_says_why(requests: list[dict[str, Any]]) -> None:
    first, second = (line for line in requests if line["message"] == "POST /pubsub 200")
    assert "reason" not in first
    assert second["reason"] == "malformed_request"


def test_a_request_is_one_line_and_neither_timers_nor_attempts_write_any(lines: list[dict[str, Any]]) -> None:
    told = [line["message"] for line in lines if "httpRequest" not in line and "logger" not in line]
    ids = [line["request_id"] for line in lines if "httpRequest" in line]
    assert len(ids) == len(set(ids))
    start, end = {"optional, and off", "listening"}, {"stopping: what is under way finishes", "stopped"}
    assert set(told) == start | {"an action was settled"} | end


def test_the_end_of_an_action_is_told_with_its_receipt(lines: list[dict[str, Any]], failed: list[str]) -> None:
    (settled,) = (line for line in lines if line["message"] == "an action was settled")
    assert (settled["severity"], settled["result"], settled["tenant"]) == ("INFO", "succeeded", "acme")
    assert re.fullmatch(r"[0-9a-f]{64}", settled["receipt"])
    (unknown,) = (line for line in parsed(failed) if line["message"] == "an action was settled")
    assert (unknown["severity"], unknown["type"]) == ("WARNING", "webhook")


def test_an_error_of_ours_is_told_twice_with_its_request_and_with_its_traceback(failed: list[str]) -> None:
    lines = parsed(failed)
    request = of([line for line in lines if "httpRequest" in line], "/v1/tenants/{tenant}/receipts", 500)
    assert (request["severity"], request["reason"]) == ("ERROR", "internal")
    errors = [line for line in lines if "stack_trace" in line]
    assert {line["task"] for line in errors} == {"GET /v1/tenants/{tenant}/receipts", "executor"}
    assert all(line["severity"] == "ERROR" for line in errors)
    assert any(f"request {request['request_id']}" in line["stack_trace"] for line in errors)


def test_no_line_holds_a_secret(seen: Seen, failed: list[str]) -> None:
    text = "".join([*seen.lines, *failed])
    for secret in ("whsec_", "Bearer", "eyJ", "a secret of thirty-two bytes"):
        assert secret not in text
