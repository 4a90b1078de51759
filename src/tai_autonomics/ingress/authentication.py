"""
Who is calling, and what that role may do.

    Authorization: Bearer <token> --Verifier--> Caller, or 401
    Caller + route --ROLES--> allowed, or 403 role_forbidden
    Caller + tenant --> reached, or 403 tenant_forbidden: the same whether or not the tenant exists
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tai_autonomics.application.ports import Caller, Verifier
from tai_autonomics.errors import Forbidden, Unauthenticated
from tai_autonomics.ingress.exchange import Exchange

ANY_TOKEN: Final = frozenset({"*"})
"""Whoever has a valid token, whatever its roles."""
VIEWERS: Final = frozenset({"viewer", "operator", "auditor", "admin"})
CHECKERS: Final = frozenset({"viewer", "integration", "operator", "admin"})
INTEGRATIONS: Final = frozenset({"integration", "admin"})
OPERATORS: Final = frozenset({"operator", "admin"})
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
        ("POST /v1/tenants/{tenant}/quotas/{quota}/reset", ""): OPERATORS,
        ("POST /v1/tenants/{tenant}/erasures", ""): ADMINS,
        ("GET /v1/policies/{digest}", ""): ANY_TOKEN,
    }
)

_BEARER: Final = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/=-]{1,16384})")


def roles_of(route: str) -> frozenset[str] | None:
    """The roles that reach the route at all: those of any of its commands."""
    found = [roles for (of, _), roles in ROLES.items() if of == route]
    granted = [roles for roles in found if roles is not None]
    return frozenset().union(*granted) if granted else None


async def caller_of(exchange: Exchange, verifier: Verifier) -> Caller:
    """Raises Unauthenticated, KeysUnavailable."""
    credential = exchange.headers.get(b"authorization")
    if credential is None:
        raise Unauthenticated("unauthenticated", "this needs an Authorization: Bearer token")
    bearer = _BEARER.fullmatch(credential)
    if bearer is None:
        raise Unauthenticated("unauthenticated", "the Authorization header is not a Bearer token")
    return await verifier.verify(bearer[1].decode("ascii"))


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
        raise Forbidden("tenant_forbidden", "this token does not reach the tenant")
