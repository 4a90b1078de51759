"""
Who is calling, and what that role may do.

    Authorization: Bearer <token> --the route's Verifier--> Caller, or 401
    no Authorization, but webhook headers, where webhooks are taken --WebhookVerifier, body--> Caller, or 401
    Caller + route --ROLES--> allowed, or 403 role_forbidden
    Caller + tenant --> reached, or 403 tenant_forbidden: the same whether or not the tenant exists
"""

from collections.abc import Mapping
from string import ascii_letters, digits
from types import MappingProxyType
from typing import Final

from tai_autonomics.application.ports import Caller, WebhookVerifier
from tai_autonomics.errors import Forbidden, Unauthenticated
from tai_autonomics.ingress.exchange import Exchange, check_body_headers

ANY_TOKEN: Final = frozenset({"*"})
"""Whoever has a valid token, whatever its roles."""
VIEWERS: Final = frozenset({"viewer", "operator", "auditor", "admin"})
CHECKERS: Final = frozenset({"viewer", "integration", "operator", "admin"})
INTEGRATIONS: Final = frozenset({"integration", "admin"})
OPERATORS: Final = frozenset({"operator", "admin"})
AUDITORS: Final = frozenset({"auditor", "admin"})
ADMINS: Final = frozenset({"admin"})

MARKETPLACE: Final = "POST /marketplace"

ROLES: Final[Mapping[tuple[str, str], frozenset[str] | None]] = MappingProxyType(
    {
        # (route, command): roles; "" where the route alone decides, None where no token is asked for
        ("GET /health", ""): None,
        ("GET /health/live", ""): None,
        ("GET /openapi.json", ""): None,
        ("GET /problems/{reason}", ""): None,
        ("GET /metrics", ""): VIEWERS,
        ("POST /pubsub", ""): INTEGRATIONS,
        (MARKETPLACE, "verify"): INTEGRATIONS,
        (MARKETPLACE, "request"): INTEGRATIONS,
        (MARKETPLACE, "grant"): INTEGRATIONS,
        (MARKETPLACE, "reject"): INTEGRATIONS,
        (MARKETPLACE, "change_plan"): INTEGRATIONS,
        (MARKETPLACE, "suspend"): INTEGRATIONS | OPERATORS,
        (MARKETPLACE, "resume"): INTEGRATIONS | OPERATORS,
        (MARKETPLACE, "cancel"): INTEGRATIONS,
        (MARKETPLACE, "reinstate"): INTEGRATIONS,
        (MARKETPLACE, "renew"): INTEGRATIONS,
        (MARKETPLACE, "revoke"): INTEGRATIONS | OPERATORS,
        ("GET /v1/tenants", ""): VIEWERS,
        ("GET /v1/tenants/{tenant}", ""): VIEWERS,
        ("GET /v1/tenants/{tenant}/receipts", ""): VIEWERS,
        ("GET /v1/tenants/{tenant}/receipts/head", ""): VIEWERS,
        ("GET /v1/tenants/{tenant}/receipts/{seq}", ""): VIEWERS,
        ("POST /v1/tenants/{tenant}/check", ""): CHECKERS,
        ("POST /v1/tenants/{tenant}/usage", ""): INTEGRATIONS,
        ("POST /v1/tenants/{tenant}/signals", ""): INTEGRATIONS,
        ("POST /v1/tenants/{tenant}/quotas/{quota}/reset", ""): OPERATORS,
        ("POST /v1/tenants/{tenant}/governor/pause", ""): OPERATORS,
        ("POST /v1/tenants/{tenant}/governor/resume", ""): OPERATORS,
        ("GET /v1/tenants/{tenant}/actions", ""): VIEWERS,
        ("GET /v1/tenants/{tenant}/actions/{action}", ""): VIEWERS,
        ("GET /v1/actions", ""): VIEWERS,
        ("POST /v1/tenants/{tenant}/actions/{action}/approve", ""): OPERATORS,
        ("POST /v1/tenants/{tenant}/actions/{action}/deny", ""): OPERATORS,
        ("POST /v1/tenants/{tenant}/actions/{action}/cancel", ""): OPERATORS,
        ("POST /v1/tenants/{tenant}/holds", ""): OPERATORS,
        ("POST /v1/tenants/{tenant}/holds/{hold}/release", ""): OPERATORS,
        ("POST /v1/tenants/{tenant}/attestations", ""): AUDITORS,
        ("POST /v1/tenants/{tenant}/exports", ""): AUDITORS,
        ("POST /v1/tenants/{tenant}/erasures", ""): ADMINS,
        ("GET /v1/policies/{digest}", ""): ANY_TOKEN,
    }
)

TOKEN_BYTES_MAX: Final = 16 * 1024
WEBHOOK_HEADERS: Final = frozenset({b"webhook-id", b"webhook-timestamp", b"webhook-signature"})
_TOKEN: Final = (ascii_letters + digits + "-._~+/=").encode("ascii")


def roles_of(route: str) -> frozenset[str] | None:
    """The roles that reach the route at all: those of any of its commands."""
    found = [roles for (of, _), roles in ROLES.items() if of == route]
    granted = [roles for roles in found if roles is not None]
    return frozenset().union(*granted) if granted else None


def token_of(exchange: Exchange) -> str:
    """The bearer token (RFC 6750 section 2.1). Raises Unauthenticated."""
    credential = exchange.headers.get(b"authorization")
    if credential is None:
        raise Unauthenticated("unauthenticated", "this needs an Authorization: Bearer token")
    scheme, _, token = credential.partition(b" ")
    token = token.lstrip(b" ")
    if scheme.lower() != b"bearer" or not 1 <= len(token) <= TOKEN_BYTES_MAX or token.translate(None, _TOKEN):
        raise Unauthenticated("unauthenticated", "the Authorization header is not a Bearer token")
    return token.decode("ascii")


def brings_webhook(exchange: Exchange) -> bool:
    """Whether the request is to be judged as a webhook: a bearer token, where there is one, decides alone."""
    headers = exchange.headers
    return b"authorization" not in headers and not WEBHOOK_HEADERS.isdisjoint(headers)


async def receive_webhook(exchange: Exchange, webhooks: WebhookVerifier, *, body_bytes_max: int) -> Caller:
    """
    Who sent it. The signature covers the body, which is therefore read here, before anything is made of it.

    Raises Unauthenticated, and what reading a body raises.
    """
    claim = webhooks.claim(exchange.headers)
    check_body_headers(exchange, body_bytes_max)
    body = await exchange.body(body_bytes_max)
    exchange.webhook = webhooks.verify(claim, body)
    exchange.put_back(body)
    return exchange.webhook.caller


def require_role(caller: Caller, roles: frozenset[str]) -> None:
    """Raises Forbidden(role_forbidden)."""
    if roles != ANY_TOKEN and caller.roles.isdisjoint(roles):
        raise Forbidden("role_forbidden", f"this needs the role {' or '.join(sorted(roles))}")


def require_command(caller: Caller, route: str, command: str) -> None:
    """Raises Forbidden(role_forbidden) when the route is open to the caller and this command of it is not."""
    roles = ROLES[(route, command)]
    assert roles is not None
    require_role(caller, roles)


def require_tenant(caller: Caller, tenant: str) -> None:
    """Raises Forbidden(tenant_forbidden)."""
    if not caller.reaches(tenant):
        raise Forbidden("tenant_forbidden", "this credential does not reach the tenant")
