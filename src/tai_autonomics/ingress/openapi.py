"""The interface as OpenAPI 3.1, from the types that parse and answer, the route table and the role table."""

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
import orjson

from tai_autonomics.ingress.authentication import ANY_TOKEN, roles_of
from tai_autonomics.ingress.exchange import Credential, Route
from tai_autonomics.ingress.parsing import IDENTIFIER_PATTERN
from tai_autonomics.ingress.replies import REASONS, Problem, SealedItem
from tai_autonomics.ingress.signals import SignalTaken
from tai_autonomics.ledger.receipt import Body

_REF: Final = "#/components/schemas/{name}"
ALWAYS: Final = ("malformed_request", "request_timeout", "headers_too_large", "overloaded", "internal", "draining")
"""What any request can be refused for."""
WITH_TOKEN: Final = (
    "unauthenticated",
    "token_expired",
    "signature_invalid",
    "role_forbidden",
    "rate_limited",
    "keys_unavailable",
)
WITH_TENANT: Final = (
    "invalid_tenant_id",
    "tenant_forbidden",
    "ledger_newer_than_code",
    "clock_untrusted",
)
WITH_BODY: Final = ("body_too_large", "unsupported_media_type", "missing_field")
WHEN_WRITING: Final = ("conflict", "outcome_unknown")
_CREDENTIALS: Final[Mapping[Credential, dict[str, str]]] = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "google": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "Google's OIDC token of the push subscription.",
    },
    "webhook": {
        "type": "apiKey",
        "in": "header",
        "name": "webhook-signature",
        "description": "Standard Webhooks 1.0.0, version v1 (HMAC-SHA256), with webhook-id and webhook-timestamp."
        " Where Authorization is sent too, it decides alone.",
    },
}
_GENERATED_NAME: Final = b"BodyOf_Any_"
_PATTERNS: Final[Mapping[str, dict[str, Any]]] = {
    "tenant": {"pattern": IDENTIFIER_PATTERN},
    "quota": {"pattern": IDENTIFIER_PATTERN},
    "action": {"pattern": IDENTIFIER_PATTERN},
    "hold": {"pattern": IDENTIFIER_PATTERN},
    "seq": {"pattern": "^[1-9][0-9]{0,15}$"},
    "digest": {"pattern": "^[0-9a-f]{64}$"},
    "reason": {"enum": sorted(REASONS)},
}
_QUERIES: Final[Mapping[str, dict[str, Any]]] = {
    "after": {"type": "integer", "minimum": 0, "maximum": 2**53 - 1},
    "cursor": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,256}$"},
    "limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
    "subject": {"type": "string", "minLength": 1, "maxLength": 160},
    "type": {"type": "string", "enum": ["transition", "refusal", "action_attempt", "action_result"]},
}


def reasons_of(route: Route) -> tuple[str, ...]:
    """Every reason that the route can be refused for, in the order of the reason table."""
    found = {*ALWAYS, *route.reasons}
    if route.never_waits:
        found -= {"overloaded", "draining"}
    if roles_of(route.name) is not None:
        found.update(WITH_TOKEN)
        if not route.never_waits:
            found.add("store_unavailable")
    if "{tenant}" in route.path or route.body != "none":
        found.update(WITH_TENANT)
    if route.body != "none":
        found.update(WITH_BODY)
    if route.writes:
        found.update(WHEN_WRITING)
    if "{" in route.path:
        found.add("not_found")
    return tuple(reason for reason in REASONS if reason in found)


def statuses_of(route: Route) -> tuple[int, ...]:
    """Every status that the route can answer with."""
    refusals = {REASONS[reason].status for reason in reasons_of(route)}
    return tuple(sorted({200, *refusals, *route.statuses}))


def document(routes: Sequence[Route], *, version: str) -> bytes:
    """The document's bytes."""
    types = _types(routes)
    shapes, schemas = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = dict(zip(types, shapes, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_type)
    made = orjson.dumps(
        {
            "openapi": "3.1.0",
            "info": {"title": "TAI Autonomics", "version": version, "license": {"name": "Apache-2.0"}},
            "paths": paths,
            "components": {
                "schemas": schemas,
                "securitySchemes": _CREDENTIALS,
            },
        }
    )
    return made.replace(_GENERATED_NAME, b"Receipt")


def _types(routes: Iterable[Route]) -> list[Any]:
    named = [each for route in routes for each in (*route.takes, *route.answers)]
    return [*dict.fromkeys([*named, Problem, SealedItem, SignalTaken, Body])]


def _operation(route: Route, by_type: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
    roles = roles_of(route.name)
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "parameters": [*_path_parameters(route), *_query_parameters(route), *_header_parameters(route)],
        "responses": _responses(route, by_type),
    }
    if roles is not None:
        operation["security"] = [{credential: []} for credential in route.credentials]
        operation["x-roles"] = ["any"] if roles == ANY_TOKEN else sorted(roles)
    if route.takes:
        operation["requestBody"] = {
            "required": not route.body_optional,
            "content": {"application/json": {"schema": _any_of(route.takes, by_type)}},
        }
    return operation


def _operation_id(route: Route) -> str:
    words = re.findall(r"[A-Za-z0-9]+", route.path)
    return "_".join([route.method.lower(), *words])


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", **_PATTERNS[name]}}
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    schemas = {**_QUERIES, "state": {"type": "string", "enum": [*route.states]}}
    return [{"name": name, "in": "query", "schema": schemas[name]} for name in route.queries]


def _header_parameters(route: Route) -> list[dict[str, Any]]:
    if not route.keyed:
        return []
    schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!#-~][!-~]*$"}
    return [{"name": "Idempotency-Key", "in": "header", "schema": schema}]


def _responses(route: Route, by_type: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
    reasons = reasons_of(route)
    responses: dict[str, Any] = {}
    for status in statuses_of(route):
        named = [reason for reason in reasons if REASONS[reason].status == status]
        if status == HTTPStatus.OK or not named:
            schema = _any_of(route.answers, by_type)
            responses[str(status)] = {"description": _phrase(status), "content": {route.media: {"schema": schema}}}
        else:
            problem = {"application/problem+json": {"schema": by_type[Problem]}}
            responses[str(status)] = {"description": ", ".join(named), "content": problem}
    return responses


def _any_of(types: Sequence[Any], by_type: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
    shapes = [by_type[each] for each in types]
    return {"anyOf": shapes} if len(shapes) > 1 else shapes[0] if shapes else {}


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase
