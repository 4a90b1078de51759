"""
A role does what its row says and nothing else; a token of one tenant learns nothing of another, not even its existence.

acme and beta exist, and hold the same; ghost does not exist. The caller reaches acme alone.
"""

import base64
import json
import re
from collections.abc import Iterator
from typing import Final

import httpx
import pytest
from tests.journey.attacks.standing import untouched
from tests.journey.callers import say, token
from tests.journey.service import Service
from tests.roles import BODIES, EVERY, EXPECTED, MARKETPLACE, body_of

from tai_autonomics.ingress.marketplace import FORMS

OF_A_TENANT: Final = [route for route, _ in EXPECTED if "{tenant}" in route]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("isolation")) as started, started.client() as client:
        for tenant in ("acme", "beta", "zeta"):
            grant = {"tenant_id": tenant, "entitlement_id": "ent_1", "action": "grant", "plan": "professional"}
            assert client.post("/marketplace", json={**grant, "metadata": {"secret": tenant}}).status_code == 200
        yield started


def asked(client: httpx.Client, route: str, tenant: str, command: str = "") -> httpx.Response:
    method, path = route.split()
    places = {"seq": 1, "quota": "api_calls", "digest": "0" * 64, "reason": "stale", "action": "none", "hold": "none"}
    path = path.format(tenant=tenant, **places)
    return client.request(method, path, json=body_of(route, command))


def reaching_acme(service: Service) -> httpx.Client:
    """A client of every role, whose requests all have the same id, so that answers can be compared."""
    client = service.client(token(service, *EVERY, tenants=frozenset({"acme"})))
    client.headers["x-request-id"] = "same"
    return client


def told(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    """Everything that an answer says, but for the time of day."""
    return answer.status_code, {**answer.headers, "date": ""}, answer.content


# ---- roles


@pytest.mark.parametrize(("route", "command"), EXPECTED, ids=lambda each: each)
def test_a_role_does_what_its_row_says_and_nothing_else(service: Service, route: str, command: str) -> None:
    allowed = EXPECTED[route, command]
    with untouched(service):
        for role in EVERY:
            if allowed is not None and role not in allowed:
                with service.client(token(service, role)) as client:
                    answer = asked(client, route, "acme", command)
                assert (answer.status_code, answer.json()["reason"]) == (403, "role_forbidden"), role
        if allowed is not None:
            others = set(EVERY) - allowed
            with service.client(token(service, *others)) if others else service.client("") as client:
                answer = asked(client, route, "acme", command)
            assert answer.status_code == (403 if others else 401), "several wrong roles are no right one"
            with service.client("") as stranger:
                assert asked(stranger, route, "acme", command).status_code == 401
    for role in EVERY:
        with service.client(token(service, role)) as client:
            answer = asked(client, route, "acme", command)
        if allowed is None or role in allowed:
            assert answer.status_code not in (400, 401, 405), (role, answer.text)
            assert answer.status_code != 403 or answer.json()["reason"] == "entitlement_inactive", (role, answer.text)


@pytest.mark.parametrize("route", OF_A_TENANT)
def test_another_tenant_is_the_same_403_whether_or_not_it_exists(service: Service, route: str) -> None:
    with untouched(service), reaching_acme(service) as client:
        beta, ghost = asked(client, route, "beta"), asked(client, route, "ghost")
    assert (beta.status_code, beta.json()["reason"]) == (403, "tenant_forbidden")
    assert told(beta) == told(ghost)


@pytest.mark.parametrize("action", FORMS)
def test_another_tenant_in_a_body_is_the_same_403_whether_or_not_it_exists(service: Service, action: str) -> None:
    body = {**body_of(MARKETPLACE, action), "entitlement_id": "ent_1"}
    with untouched(service), reaching_acme(service) as client:
        beta, ghost = (client.post("/marketplace", json={**body, "tenant_id": name}) for name in ("beta", "ghost"))
    assert (beta.status_code, beta.json()["reason"]) == (403, "tenant_forbidden")
    assert told(beta) == told(ghost)


def test_a_push_that_names_another_tenant_is_refused_whole_and_kept_nowhere(service: Service) -> None:
    def push(client: httpx.Client, *tenants: str) -> httpx.Response:
        commands = [{"tenant_id": tenant, "entitlement_id": "ent_1"} for tenant in tenants]
        data = base64.b64encode(json.dumps(commands).encode()).decode()
        return client.post("/pubsub", json={"message": {"data": data, "messageId": "7"}, "subscription": "s"})

    with untouched(service), reaching_acme(service) as client:
        for tenants in (("beta",), ("acme", "beta"), ("beta", "acme")):
            beta, ghost = push(client, *tenants), push(client, *(name.replace("beta", "ghost") for name in tenants))
            assert (beta.status_code, beta.json()["reason"]) == (403, "tenant_forbidden")
            assert told(beta) == told(ghost)


# ---- other ways to write a tenant's id

TRICKS: Final = (
    "BETA",
    "Beta",
    "beta%00",
    "beta%0a",
    "beta%0d%0a",
    "beta%20",
    "%20beta",
    "beta%09",
    "beta%2f",
    "beta/",
    "/beta",
    "%2fbeta",
    "acme/../beta",
    "acme%2f..%2fbeta",
    "acme/%2e%2e/beta",
    "./beta",
    "%2e/beta",
    "..%2ftenants%2fbeta",
    "acme%5c..%5cbeta",
    "acme%2cbeta",
    "acme,beta",
    "acme;beta",
    "acme%3bbeta",
    "acme%26beta",
    "acme|beta",
    "*",
    "%2a",
    "acme*",
    "%62eta",
    "%62%65%74%61",
    "%2562eta",
    "%25%36%32eta",
    "beta%E2%80%8B",
    "%EF%BD%82eta",
    "b%D0%B5ta",
    "beta%CC%81",
    "%C0%A2eta",
    "beta%ff",
    "beta%ED%A0%80",
    "beta%",
    "beta%zz",
    "beta%2",
    "b\xe9ta",
    "beta#",
    "beta%23",
    "beta%3f",
    "beta?",
    "beta?tenant=acme",
    "beta..",
    "beta/.",
    "beta/..%2fbeta",
    "acme%252f..%252fbeta",
    "acme%00beta",
    "acme%c0%af..%c0%afbeta",
    "acme..;/beta",
    "~beta",
    "~fleet/../beta",
    "%EF%BD%82%EF%BD%85ta",
    "%E2%80%AEateb",
    "be%C2%ADta",
    "BET%C3%81eta",
    "beta@acme",
    "acme@beta",
    "acme:beta",
    "%0bbeta",
    "_beta",
    "-beta",
    ".beta",
    "beta" + "x" * 125,
    "beta" * 2_000,
    "beta%41" * 1_000,
)


@pytest.mark.parametrize("trick", TRICKS, ids=[trick[:24] for trick in TRICKS])
def test_no_way_to_write_an_id_reaches_or_betrays_another_tenant(service: Service, trick: str) -> None:
    own = token(service, *EVERY, tenants=frozenset({"acme"}))
    for route in OF_A_TENANT:
        method, path = route.split()
        path = path.replace("{seq}", "1").replace("{quota}", "api_calls").replace("{action}", "none")
        body = json.dumps(BODIES[route]).encode() if route in BODIES else b""
        answers = []
        for name in ("eta", "eto"):
            lines = (
                f"{method} {path.replace('{tenant}', trick.replace('eta', name))} HTTP/1.1",
                "host: tai",
                f"authorization: Bearer {own}",
                "x-request-id: same",
                f"content-length: {len(body)}",
                "connection: close",
            )
            answer = say(service, "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
            answers.append(re.sub(rb"(?m)^(date|content-length): .*$|refused-\w+", b"", answer))
            status = answer.split(b" ", 2)[1] if answer else b"none"
            assert status in (b"400", b"403", b"404", b"405"), answer
            assert b'"secret"' not in answer
            assert b'"receipt"' not in answer
        assert answers[0] == answers[1]


IN_JSON: Final = (
    *(
        "BETA",
        "Beta",
        "beta ",
        " beta",
        "beta\n",
        "beta\x00",
        "beta\t",
        "beta/",
        "../beta",
        "acme/../beta",
        "acme,beta",
    ),
    *(
        "b\u0435ta",
        "bet\u0430",
        "\uff42eta",
        "be\u00adta",
        "beta\u200b",
        "\u202eateb",
        "beta\u0301",
        "b\u00eata",
        "\u212aeta",
    ),
    *(
        "%62eta",
        "beta%00",
        "*",
        "~fleet",
        "~beta",
        "_beta",
        "-beta",
        "",
        "beta" * 40,
        "acme\x00beta",
        "acme;beta",
        "acme\\beta",
    ),
)


@pytest.mark.parametrize("name", IN_JSON, ids=ascii)
def test_no_way_to_write_an_id_in_a_body_reaches_or_betrays_another_tenant(service: Service, name: str) -> None:
    with untouched(service), reaching_acme(service) as client:
        for action in ("verify", "grant", "revoke"):
            body = {"tenant_id": name, "entitlement_id": "ent_1", "action": action}
            answer = client.post("/marketplace", json=body)
            expected = (403, "tenant_forbidden") if name in ("BETA", "Beta") else (400, "invalid_tenant_id")
            assert (answer.status_code, answer.json()["reason"]) == expected
        for body in (
            b'{"tenant_id":"acme","tenant_id":"beta","entitlement_id":"ent_1"}',
            b'{"tenant_id":["acme","beta"]}',
        ):
            answer = client.post("/marketplace", content=body)
            assert (answer.status_code, answer.json()["reason"]) == (400, "malformed_request")


def test_a_tenant_named_anywhere_but_in_its_place_is_not_looked_at(service: Service) -> None:
    elsewhere = {
        "X-Tenant-ID": "beta",
        "X-Original-URL": "/v1/tenants/beta",
        "Forwarded": "host=beta",
        "Cookie": "tenant=beta",
    }
    with untouched(service), reaching_acme(service) as client:
        own = client.get("/v1/tenants/acme/receipts/1")
        assert client.get("/v1/tenants/acme/receipts/1", headers=elsewhere).content == own.content
        answer = client.get("/v1/tenants/acme/receipts/1", params={"tenant": "beta", "tenant_id": "beta"})
    assert answer.status_code == 400 or answer.content == own.content


def test_a_percent_encoded_id_of_ones_own_is_ones_own(service: Service) -> None:
    with service.client(token(service, "viewer", tenants=frozenset({"acme"}))) as client:
        plain, encoded = client.get("/v1/tenants/acme/receipts/1"), client.get("/v1/tenants/%61cme/receipts/1")
    assert (plain.status_code, encoded.content) == (200, plain.content)


# ---- lists and keys


def test_lists_show_only_what_the_caller_reaches(service: Service) -> None:
    def listed(tenants: frozenset[str] | None, limit: int) -> list[str]:
        names, cursor = [], ""
        with service.client(token(service, "viewer", tenants=tenants)) as client:
            while True:
                page = client.get(
                    "/v1/tenants", params={"limit": limit, **({"cursor": cursor} if cursor else {})}
                ).json()
                names += [item["tenant_id"] for item in page["items"]]
                cursor = page["next"]
                if cursor is None:
                    return names

    for limit in (1, 2, 100):
        assert listed(None, limit) == ["acme", "beta", "zeta"]
        assert listed(frozenset({"acme"}), limit) == ["acme"]
        assert listed(frozenset({"acme", "ghost", "zeta"}), limit) == ["acme", "zeta"]
        assert listed(frozenset({"ghost"}), limit) == []


def test_a_cursor_is_no_way_into_another_list(service: Service) -> None:
    def forged(text: str) -> str:
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    with service.client(token(service, "viewer", tenants=frozenset({"acme"}))) as client:
        others = forged("receipts/beta\n0")
        assert client.get("/v1/tenants/acme/receipts", params={"cursor": others}).status_code == 400
        assert client.get("/v1/tenants/beta/receipts", params={"cursor": others}).status_code == 403
        page = client.get("/v1/tenants", params={"cursor": forged("tenants\nacme")})
        assert page.json() == {"items": [], "next": None}
        for hostile in ("tenants\n", "tenants\nx\x00y", "receipts/acme\n-1", "receipts/acme\n1e3", "receipts/acme\n٣"):
            answer = client.get("/v1/tenants/acme/receipts", params={"cursor": forged(hostile)})
            assert (answer.status_code, answer.json()["reason"]) == (400, "malformed_request"), hostile


def test_a_key_is_of_its_caller_and_its_tenant(service: Service) -> None:
    def verified(subject: str, tenant: str) -> httpx.Response:
        own = token(service, "integration", tenants=frozenset({tenant}), subject=subject)
        with service.client(own) as client:
            body = {"tenant_id": tenant, "entitlement_id": "ent_1"}
            return client.post("/marketplace", json=body, headers={"Idempotency-Key": "shared"})

    answers = [verified(*who) for who in (("one", "acme"), ("two", "acme"), ("one", "beta"), ("two", "beta"))]
    assert all("idempotent-replayed" not in answer.headers for answer in answers)
    assert len({answer.json()["hash"] for answer in answers}) == 4
    assert verified("one", "acme").headers["idempotent-replayed"] == "true"
