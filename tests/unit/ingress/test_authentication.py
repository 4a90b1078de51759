"""The role table, walked both ways, and what is a credential."""

import pytest
from tests.unit.ingress.front import POLICY, TOKENS, VERIFY, House, TokenTable, envelope

from tai_autonomics.application.ports import Caller
from tai_autonomics.errors import KeysUnavailable
from tai_autonomics.ingress.authentication import ANY_TOKEN, MARKETPLACE, ROLES, roles_of
from tai_autonomics.ingress.exchange import Route
from tai_autonomics.ingress.marketplace import FORMS
from tai_autonomics.ingress.routes import routes

EVERY_ROLE = ("viewer", "integration", "operator", "auditor", "admin")
PATHS = {"{tenant}": "acme", "{seq}": "1", "{quota}": "api_calls", "{digest}": POLICY, "{reason}": "stale"}
BODIES = {
    "/pubsub": envelope(VERIFY),
    "/v1/tenants/{tenant}/usage": {"operation": "consume", "quota": "q", "amount": 1, "request_id": "r"},
    "/v1/tenants/{tenant}/erasures": {"seq": 1, "part": "metadata"},
}
EXPECTED = {
    # straight from the design page, not from the table
    "GET /metrics": {"viewer", "operator", "auditor", "admin"},
    "POST /pubsub": {"integration", "admin"},
    "GET /v1/tenants": {"viewer", "operator", "auditor", "admin"},
    "GET /v1/tenants/{tenant}": {"viewer", "operator", "auditor", "admin"},
    "GET /v1/tenants/{tenant}/receipts": {"viewer", "operator", "auditor", "admin"},
    "GET /v1/tenants/{tenant}/receipts/head": {"viewer", "operator", "auditor", "admin"},
    "GET /v1/tenants/{tenant}/receipts/{seq}": {"viewer", "operator", "auditor", "admin"},
    "POST /v1/tenants/{tenant}/check": {"viewer", "integration", "operator", "admin"},
    "POST /v1/tenants/{tenant}/usage": {"integration", "admin"},
    "POST /v1/tenants/{tenant}/quotas/{quota}/reset": {"operator", "admin"},
    "POST /v1/tenants/{tenant}/erasures": {"admin"},
    "GET /v1/policies/{digest}": set(EVERY_ROLE),
}
OPERATOR_MAY = {"suspend", "resume", "revoke"}


def call(route: str, role: str | None) -> int:
    method, path = route.split(" ")
    house = House()
    house.post("/marketplace", {**VERIFY, "metadata": 1})
    body = BODIES.get(path, {} if method == "POST" else None)
    for name, value in PATHS.items():
        path = path.replace(name, value)
    return house.call(method, path, body, token=role).status


@pytest.mark.parametrize("route", EXPECTED)
@pytest.mark.parametrize("role", EVERY_ROLE)
def test_a_role_reaches_its_routes_and_no_other(route: str, role: str) -> None:
    assert call(route, role) == (200 if role in EXPECTED[route] else 403)


@pytest.mark.parametrize("action", FORMS)
@pytest.mark.parametrize("role", EVERY_ROLE)
def test_a_role_may_give_its_commands_and_no_other(action: str, role: str) -> None:
    house = House()
    extra = {name: "2027-01-01T00:00:00Z" if name == "expires_at" else "free" for name in FORMS[action].required}
    response = house.post("/marketplace", {**VERIFY, "action": action, **extra}, token=role)
    allowed = role in ("integration", "admin") or (role == "operator" and action in OPERATOR_MAY)
    assert response.status == (200 if allowed else 403)
    assert len(house.corridor.submissions) == allowed


@pytest.mark.parametrize("route", ["GET /health", "GET /health/live", "GET /openapi.json", "GET /problems/{reason}"])
def test_what_anyone_may_see_needs_no_token(route: str) -> None:
    assert call(route, None) == 200


@pytest.mark.parametrize("route", [*EXPECTED, MARKETPLACE])
def test_everything_else_needs_a_token(route: str) -> None:
    assert call(route, None) == 401


def test_the_table_names_every_route_and_no_other() -> None:
    assert {route for route, _ in ROLES} == {route.name for route in routes()}
    assert {command for route, command in ROLES if route == MARKETPLACE} == set(FORMS)
    assert roles_of("GET /v1/policies/{digest}") == ANY_TOKEN
    assert roles_of(MARKETPLACE) == {"integration", "operator", "admin"}


def test_a_token_without_roles_reaches_only_what_any_token_does() -> None:
    assert call("GET /v1/policies/{digest}", "nobody") == 200
    assert call("GET /v1/tenants", "nobody") == 403


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "unauthenticated"),
        ("Bearer", "unauthenticated"),
        ("Bearer ", "unauthenticated"),
        ("Basic YTpi", "unauthenticated"),
        ("Bearer a b", "unauthenticated"),
        ("Bearer \xe4", "unauthenticated"),
        ("Bearer " + "a" * 20_000, "unauthenticated"),
        ("Bearer forged", "signature_invalid"),
        ("Bearer old", "token_expired"),
    ],
)
def test_what_is_no_credential_is_a_401_with_a_challenge(header: str, reason: str) -> None:
    response = House().post("/marketplace", VERIFY, headers={"Authorization": header})
    assert (response.status, response.reason) == (401, reason)
    challenge = response.headers["www-authenticate"]
    assert challenge.startswith('Bearer realm="tai-autonomics"')
    assert ('error="invalid_token"' in challenge) == (reason != "unauthenticated")


def test_the_scheme_is_read_in_any_case() -> None:
    assert House().post("/marketplace", VERIFY, headers={"Authorization": "bEARER admin"}).status == 200


def test_a_credential_given_twice_is_refused() -> None:
    response = House().post("/marketplace", VERIFY, pairs=((b"authorization", b"Bearer admin"),))
    assert (response.status, response.reason) == (400, "malformed_request")


class PushTokens(TokenTable):
    """Knows one token more than the others, as long as its keys can be had."""

    async def verify(self, token: str) -> Caller:
        if token == "away":
            raise KeysUnavailable("Google's certificates cannot be had now")
        if token == "google":
            return Caller("pusher@acme-prod.iam.gserviceaccount.com", frozenset({"integration"}), None)
        return await super().verify(token)


@pytest.mark.parametrize("route", routes(), ids=lambda route: route.name)
def test_googles_token_is_good_for_a_push_and_nothing_else(route: Route) -> None:
    house = House(push_verifier=PushTokens())
    path = route.path
    for name, value in {**PATHS, "{action}": "act_1"}.items():
        path = path.replace(name, value)
    response = house.call(route.method, path, BODIES.get(route.path, VERIFY), token="google")
    if route.name == "POST /pubsub":
        assert (response.status, house.corridor.submissions[0].by) == (200, "pusher@acme-prod.iam.gserviceaccount.com")
    elif roles_of(route.name) is not None:
        assert (response.status, response.reason) == (401, "signature_invalid")
        assert house.corridor.submissions == []


def test_own_tokens_are_good_for_a_push_beside_googles() -> None:
    house = House(push_verifier=PushTokens())
    for role in EVERY_ROLE:
        expected = 200 if TOKENS[role].roles & {"integration", "admin"} else 403
        assert house.post("/pubsub", envelope(VERIFY), token=role).status == expected
    assert House().post("/pubsub", envelope(VERIFY), token="google").status == 401


def test_a_push_is_not_acknowledged_while_its_keys_cannot_be_had() -> None:
    response = House(push_verifier=PushTokens()).post("/pubsub", envelope(VERIFY), token="away")
    assert (response.status, response.reason, response.headers["retry-after"]) == (503, "keys_unavailable", "1")
