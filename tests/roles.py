"""
Who may do what, and a body that each route takes.

Written down once more, so that the code's table is not its own witness.
"""

from collections.abc import Mapping
from typing import Any, Final

EVERY: Final = ("viewer", "integration", "operator", "auditor", "admin")
READERS: Final = {"viewer", "operator", "auditor", "admin"}
ASKERS: Final = {"viewer", "integration", "operator", "admin"}
SENDERS: Final = {"integration", "admin"}
OPERATORS: Final = {"operator", "admin"}
EITHER: Final = SENDERS | OPERATORS
ANYONE: Final = None
MARKETPLACE: Final = "POST /marketplace"
EXPECTED: Final[Mapping[tuple[str, str], set[str] | None]] = {
    # (route, command): who; "" where the route alone decides, None where no token is asked for
    ("GET /health", ""): ANYONE,
    ("GET /health/live", ""): ANYONE,
    ("GET /openapi.json", ""): ANYONE,
    ("GET /problems/{reason}", ""): ANYONE,
    ("GET /metrics", ""): READERS,
    ("POST /pubsub", ""): SENDERS,
    (MARKETPLACE, "verify"): SENDERS,
    (MARKETPLACE, "request"): SENDERS,
    (MARKETPLACE, "grant"): SENDERS,
    (MARKETPLACE, "reject"): SENDERS,
    (MARKETPLACE, "change_plan"): SENDERS,
    (MARKETPLACE, "suspend"): EITHER,
    (MARKETPLACE, "resume"): EITHER,
    (MARKETPLACE, "cancel"): SENDERS,
    (MARKETPLACE, "reinstate"): SENDERS,
    (MARKETPLACE, "renew"): SENDERS,
    (MARKETPLACE, "revoke"): EITHER,
    ("GET /v1/tenants", ""): READERS,
    ("GET /v1/tenants/{tenant}", ""): READERS,
    ("GET /v1/tenants/{tenant}/receipts", ""): READERS,
    ("GET /v1/tenants/{tenant}/receipts/head", ""): READERS,
    ("GET /v1/tenants/{tenant}/receipts/{seq}", ""): READERS,
    ("GET /v1/tenants/{tenant}/actions", ""): READERS,
    ("GET /v1/tenants/{tenant}/actions/{action}", ""): READERS,
    ("GET /v1/actions", ""): READERS,
    ("GET /v1/policies/{digest}", ""): set(EVERY),
    ("POST /v1/tenants/{tenant}/check", ""): ASKERS,
    ("POST /v1/tenants/{tenant}/usage", ""): SENDERS,
    ("POST /v1/tenants/{tenant}/signals", ""): SENDERS,
    ("POST /v1/tenants/{tenant}/quotas/{quota}/reset", ""): OPERATORS,
    ("POST /v1/tenants/{tenant}/governor/pause", ""): OPERATORS,
    ("POST /v1/tenants/{tenant}/governor/resume", ""): OPERATORS,
    ("POST /v1/tenants/{tenant}/actions/{action}/approve", ""): OPERATORS,
    ("POST /v1/tenants/{tenant}/actions/{action}/deny", ""): OPERATORS,
    ("POST /v1/tenants/{tenant}/actions/{action}/cancel", ""): OPERATORS,
    ("POST /v1/tenants/{tenant}/holds", ""): OPERATORS,
    ("POST /v1/tenants/{tenant}/holds/{hold}/release", ""): OPERATORS,
    ("POST /v1/tenants/{tenant}/attestations", ""): {"auditor", "admin"},
    ("POST /v1/tenants/{tenant}/exports", ""): {"auditor", "admin"},
    ("POST /v1/tenants/{tenant}/erasures", ""): {"admin"},
}

BODIES: Final[dict[str, Any]] = {
    "POST /v1/tenants/{tenant}/check": {"entitlement_id": "ent_1", "quota": "api_calls"},
    "POST /v1/tenants/{tenant}/usage": {
        "operation": "consume",
        "quota": "api_calls",
        "amount": 1,
        "request_id": "stolen",
    },
    "POST /v1/tenants/{tenant}/quotas/{quota}/reset": {},
    "POST /v1/tenants/{tenant}/signals": {"metric": "cpu_utilization", "value": 1},
    "POST /v1/tenants/{tenant}/governor/pause": {},
    "POST /v1/tenants/{tenant}/governor/resume": {},
    "POST /v1/tenants/{tenant}/actions/{action}/approve": {},
    "POST /v1/tenants/{tenant}/actions/{action}/deny": {},
    "POST /v1/tenants/{tenant}/actions/{action}/cancel": {},
    "POST /v1/tenants/{tenant}/holds": {"scope": "actions", "evidence": "urn:stolen"},
    "POST /v1/tenants/{tenant}/holds/{hold}/release": {},
    "POST /v1/tenants/{tenant}/attestations": {
        "control": "dpa_signed",
        "status": "non_compliant",
        "evidence": "urn:stolen",
        "valid_until": "2099-01-01T00:00:00Z",
    },
    "POST /v1/tenants/{tenant}/exports": {
        "since": "2026-01-01T00:00:00Z",
        "until": "2099-01-01T00:00:00Z",
        "receipts": 1,
        "head_seq": 1,
        "head_hash": "0" * 64,
        "manifest_digest": "0" * 64,
    },
    "POST /v1/tenants/{tenant}/erasures": {"seq": 1, "part": "metadata"},
    MARKETPLACE: {"tenant_id": "acme", "entitlement_id": "none"},
    "POST /pubsub": {
        "message": {"data": "eyJ0ZW5hbnRfaWQiOiJhY21lIiwiZW50aXRsZW1lbnRfaWQiOiJlbnRfMSJ9", "messageId": "1"},
        "subscription": "s",
    },
}
_REQUIRED: Final[Mapping[str, dict[str, str]]] = {
    "renew": {"expires_at": "2999-01-01T00:00:00Z"},
    "request": {"plan": "free"},
    "change_plan": {"plan": "free"},
}


def body_of(route: str, command: str = "") -> Any:
    """What to send with it; None for nothing."""
    return {**BODIES[route], "action": command, **_REQUIRED.get(command, {})} if command else BODIES.get(route)
