"""
Much of what schemathesis sends is made to name things that exist, so that it reaches what lies behind the door.

It is loaded by schemathesis itself (SCHEMATHESIS_HOOKS); whatever is not named here stays as generated.
"""

import json
import os
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import schemathesis

KNOWN: dict[str, Any] = {
    "tenant_id": "acme",
    "entitlement_id": "ent_1",
    "plan": "professional",
    "quota": "api_calls",
    "feature": "receipts_verify",
    "part": "metadata",
    "amount": 1,
    "seq": 1,
    "head_seq": 1,
    "since": "2026-01-01T00:00:00Z",
    "until": "2099-01-01T00:00:00Z",
    **json.loads(os.environ["TAI_TEST_KNOWN_IN_BODIES"]),
    "control": "dpa_signed",
    "evidence": "urn:case:1",
    "valid_until": "2099-01-01T00:00:00Z",
}
HOLD_SECONDS = 0.5
"""How long what schemathesis places is on, so that holds do not keep all else from being decided."""
MEASURED = {"metric": "cpu_utilization", "value": 1}
NOT_OF_VERIFY = ("request_id", "plan", "effective_at", "expires_at", "observed_at")
KNOWN_IN_PATHS = {
    "tenant": "acme",
    "quota": "api_calls",
    "seq": "1",
    **json.loads(os.environ["TAI_TEST_KNOWN_IN_PATHS"]),
}
"""With what only the run knows: the action that waits for approval, and the plans file's digest."""


def is_chosen(value: object) -> bool:
    """Half of all values, always the same half."""
    return zlib.crc32(repr(value).encode()) % 2 == 0


def known(value: Any) -> Any:
    """The value, with known names where it has names."""
    match value:
        case {"metric": str(), **rest}:
            # Its own time is mostly too far ahead, or older than the newest; most numbers have too many digits.
            return {**{name: inner for name, inner in rest.items() if name == "request_id"}, **MEASURED}
        case dict():
            return {
                name: KNOWN[name] if name in KNOWN and isinstance(inner, type(KNOWN[name])) else known(inner)
                for name, inner in value.items()
            }
        case list():
            return [known(inner) for inner in value]
        case _:
            return value


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    if not is_chosen(body):
        return body
    if isinstance(body, dict) and body.get("action", "verify") == "verify":
        body = {name: value for name, value in body.items() if name not in NOT_OF_VERIFY}
    return known(body)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Names that schemathesis took from earlier answers, last of all, become known ones too; holds end soon."""
    if isinstance(case.body, dict) and case.body.get("scope") in ("all", "actions", "erasure"):
        ends = (datetime.now(UTC) + timedelta(seconds=HOLD_SECONDS)).isoformat()
        case.body = {**case.body, "expires_at": ends}
    if isinstance(case.body, dict) and isinstance(case.body.get("tenant_id"), str) and is_chosen(case.body):
        case.body = {
            name: KNOWN[name] if name in ("tenant_id", "entitlement_id") else each for name, each in case.body.items()
        }


@schemathesis.hook
def map_headers(context: Any, headers: Any) -> Any:
    """Without its one-letter key, which every other command has too."""
    return {name: value for name, value in (headers or {}).items() if name != "Idempotency-Key" or len(value) != 1}


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    """The simplest values, of one character or the same one throughout, become known ones."""
    if not path_parameters:
        return path_parameters
    return {
        name: KNOWN_IN_PATHS[name] if name in KNOWN_IN_PATHS and len(set(str(value))) == 1 else value
        for name, value in path_parameters.items()
    }
