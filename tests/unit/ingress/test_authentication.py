"""The role table, walked both ways, and what is a credential."""

import pytest
from tests.roles import BODIES, EVERY, EXPECTED, MARKETPLACE, body_of
from tests.unit.ingress.front import POLICY, TOKENS, VERIFY, WAITING, House, TokenTable, envelope

from tai_autonomics.application.ports import Caller
from tai_autonomics.errors import KeysUnavailable
from tai_autonomics.ingress.authentication import ANY_TOKEN, ROLES, roles_of
from tai_autonomics.ingress.exchange import Route
from tai_autonomics.ingress.marketplace import FORMS
from tai_autonomics.ingress.routes import routes

PATHS = {
    "tenant": "acme",
    "seq": 1,
    "quota": "q",
    "digest": POLICY,
    "reason": "stale",
    "action": WAITING.action_id,
    "hold": "h",
}


def call(route: str, role: str | None, command: str = "") -> tuple[int, int]:
    """The status, and how many commands were submitted."""
    method, path = route.split(" ")
    house = House()
    house.post("/marketplace", {**VERIFY, "metadata": 1})
    body = body_of(route, command)
    if route.endswith("/exports"):
        body |= {"head_hash": house.corridor.ledgers["acme"][0].hash}
    status = house.call(method, path.format(**PATHS), body, token=role).status
    return status, len(house.corridor.submissions) - 1


@pytest.mark.parametrize(("route", "command"), EXPECTED)
@pytest.mark.parametrize("role", EVERY)
def test_a_role_does_what_its_row_says_and_nothing_else(route: str, command: str, role: str) -> None:
    allowed = EXPECTED[route, command]
    if allowed is None or role in allowed:
        assert call(route, role, command)[0] == 200
    else:
        assert call(route, role, command) == (403, 0)


@pytest.mark.parametrize(("route", "command"), EXPECTED)
def test_what_anyone_may_see_needs_no_token_and_everything_else_does(route: str, command: str) -> None:
    assert call(route, None, command) == (200 if EXPECTED[route, command] is None else 401, 0)


def test_the_table_is_the_codes_and_each_of_its_rows_can_be_asked() -> None:
    assert {row: None if roles is None else set(roles) for row, roles in ROLES.items()} == {
        row: {*ANY_TOKEN} if row[0] == "GET /v1/policies/{digest}" else roles for row, roles in EXPECTED.items()
    }
    assert {route for route, _ in EXPECTED} == {route.name for route in routes()}
    assert {route for route, _ in EXPECTED if route.startswith("POST ")} == BODIES.keys()
    assert {command for route, command in EXPECTED if route == MARKETPLACE} == FORMS.keys()


def test_a_token_without_roles_reaches_only_what_any_token_does() -> None:
    assert call("GET /v1/policies/{digest}", "nobody") == (200, 0)
    assert call("GET /v1/tenants", "nobody") == (403, 0)


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
    response = house.call(route.method, route.path.format(**PATHS), body_of(route.name), token="google")
    if route.name == "POST /pubsub":
        assert (response.status, house.corridor.submissions[0].by) == (200, "pusher@acme-prod.iam.gserviceaccount.com")
    elif roles_of(route.name) is not None:
        assert (response.status, response.reason) == (401, "signature_invalid")
        assert house.corridor.submissions == []


def test_own_tokens_are_good_for_a_push_beside_googles() -> None:
    house = House(push_verifier=PushTokens())
    for role in EVERY:
        expected = 200 if TOKENS[role].roles & {"integration", "admin"} else 403
        assert house.post("/pubsub", envelope(VERIFY), token=role).status == expected
    assert House().post("/pubsub", envelope(VERIFY), token="google").status == 401


def test_a_push_is_not_acknowledged_while_its_keys_cannot_be_had() -> None:
    response = House(push_verifier=PushTokens()).post("/pubsub", envelope(VERIFY), token="away")
    assert (response.status, response.reason, response.headers["retry-after"]) == (503, "keys_unavailable", "1")
