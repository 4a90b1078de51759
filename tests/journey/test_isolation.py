"""
A token of one tenant learns nothing of another: not its receipts, not its state, not whether it exists.

acme and beta exist, and hold the same; ghost does not exist. The caller reaches acme alone.
"""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from tests.journey.callers import say, token
from tests.journey.ledgers import exported, quarantined
from tests.journey.service import Service

from tai_autonomics.ingress.marketplace import FORMS

ROLES: Final = ("viewer", "integration", "operator", "auditor", "admin")
PAGE: Final = (Path(__file__).parents[2] / "docs" / "ENDPOINTS.md").read_text()
ROUTES: Final[dict[str, str]] = dict(re.findall(r"^\| `([A-Z]+ /\S*)` \| ([^|]+) \|", PAGE, re.MULTILINE))
"""Each route of the page with its roles."""
OF_A_TENANT: Final = [route for route in ROUTES if "{tenant}" in route]

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
    "POST /v1/tenants/{tenant}/erasures": {"seq": 1, "part": "metadata"},
    "POST /marketplace": {"tenant_id": "acme", "entitlement_id": "none", "action": "suspend"},
    "POST /pubsub": {
        "message": {"data": "eyJ0ZW5hbnRfaWQiOiJhY21lIiwiZW50aXRsZW1lbnRfaWQiOiJlbnRfMSJ9", "messageId": "1"},
        "subscription": "s",
    },
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("isolation")) as started, started.client() as client:
        for tenant in ("acme", "beta", "zeta"):
            grant = {"tenant_id": tenant, "entitlement_id": "ent_1", "action": "grant", "plan": "professional"}
            assert client.post("/marketplace", json={**grant, "metadata": {"secret": tenant}}).status_code == 200
        yield started


def asked(client: httpx.Client, route: str, tenant: str) -> httpx.Response:
    method, path = route.split()
    path = path.format(
        tenant=tenant, seq=1, quota="api_calls", digest="0" * 64, reason="stale", action="none", hold="none"
    )
    return client.request(method, path, json=BODIES.get(route))


def reaching_acme(service: Service) -> httpx.Client:
    """A client of every role, whose requests all have the same id, so that answers can be compared."""
    client = service.client(token(service, *ROLES, tenants=frozenset({"acme"})))
    client.headers["x-request-id"] = "same"
    return client


def told(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    """Everything that an answer says, but for the time of day."""
    return answer.status_code, {**answer.headers, "date": ""}, answer.content


def roles_of(route: str) -> set[str]:
    named = ROUTES[route].strip()
    return set(ROLES) if named in ("anyone", "any token") else set(named.split(", "))


def test_each_route_of_the_page_is_tried_here() -> None:
    assert {route for route in ROUTES if route.startswith("POST ")} == BODIES.keys()
    assert len(OF_A_TENANT) == 19


@pytest.mark.parametrize("route", ROUTES)
def test_a_role_reaches_what_the_page_says_and_nothing_else(service: Service, route: str) -> None:
    for role in ROLES:
        with service.client(token(service, role)) as client:
            answer = asked(client, route, "acme")
        forbidden = answer.status_code == 403 and answer.json()["reason"] == "role_forbidden"
        assert forbidden == (role not in roles_of(route)), (role, answer.text)
    with service.client("") as stranger:
        assert (asked(stranger, route, "acme").status_code == 401) == (ROUTES[route].strip() != "anyone")


def test_an_operator_may_suspend_resume_and_revoke_and_gives_no_other_command(service: Service) -> None:
    with service.client(token(service, "operator")) as client:
        allowed = set()
        for action in FORMS:
            required = {
                "renew": {"expires_at": "2999-01-01T00:00:00Z"},
                "request": {"plan": "free"},
                "change_plan": {"plan": "free"},
            }
            body = {"tenant_id": "acme", "entitlement_id": "none", "action": action, **required.get(action, {})}
            if client.post("/marketplace", json=body).json()["reason"] != "role_forbidden":
                allowed.add(action)
    assert allowed == {"suspend", "resume", "revoke"}


@pytest.mark.parametrize("route", OF_A_TENANT)
def test_another_tenant_is_the_same_403_whether_or_not_it_exists(service: Service, route: str) -> None:
    before = exported(service.data_dir)
    with reaching_acme(service) as client:
        beta, ghost = asked(client, route, "beta"), asked(client, route, "ghost")
    assert (beta.status_code, beta.json()["reason"]) == (403, "tenant_forbidden")
    assert told(beta) == told(ghost)
    assert exported(service.data_dir) == before


@pytest.mark.parametrize("action", ["verify", "grant", "revoke", "request"])
def test_another_tenant_in_a_body_is_the_same_403_whether_or_not_it_exists(service: Service, action: str) -> None:
    before = exported(service.data_dir)
    body = {"entitlement_id": "ent_1", "action": action, **({"plan": "free"} if action == "request" else {})}
    with reaching_acme(service) as client:
        beta, ghost = (client.post("/marketplace", json={"tenant_id": name, **body}) for name in ("beta", "ghost"))
    assert (beta.status_code, beta.json()["reason"]) == (403, "tenant_forbidden")
    assert told(beta) == told(ghost)
    assert exported(service.data_dir) == before


def test_a_push_that_names_another_tenant_is_refused_whole_and_kept_nowhere(service: Service) -> None:
    before = exported(service.data_dir), quarantined(service.data_dir)

    def push(client: httpx.Client, *tenants: str) -> httpx.Response:
        commands = [{"tenant_id": tenant, "entitlement_id": "ent_1"} for tenant in tenants]
        data = base64.b64encode(json.dumps(commands).encode()).decode()
        return client.post("/pubsub", json={"message": {"data": data, "messageId": "7"}, "subscription": "s"})

    with reaching_acme(service) as client:
        for tenants in (("beta",), ("acme", "beta"), ("beta", "acme")):
            beta, ghost = push(client, *tenants), push(client, *(name.replace("beta", "ghost") for name in tenants))
            assert (beta.status_code, beta.json()["reason"]) == (403, "tenant_forbidden")
            assert told(beta) == told(ghost)
    assert (exported(service.data_dir), quarantined(service.data_dir)) == before


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
    own = token(service, *ROLES, tenants=frozenset({"acme"}))
    for suffix in ("", "/receipts", "/receipts/1", "/receipts/head"):
        answers = []
        for name in ("eta", "eto"):
            path = f"/v1/tenants/{trick.replace('eta', name)}{suffix}"
            lines = (
                f"GET {path} HTTP/1.1",
                "host: tai",
                f"authorization: Bearer {own}",
                "x-request-id: same",
                "connection: close",
            )
            answer = say(service, "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")
            answers.append(re.sub(rb"(?m)^date: .*$|refused-\w+", b"", answer))
            status = answer.split(b" ", 2)[1] if answer else b"none"
            assert status in (b"400", b"403", b"404"), answer
            assert b'"secret"' not in answer
            assert b'"receipt"' not in answer
        assert answers[0] == answers[1]


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


def test_a_token_that_was_touched_is_a_401(service: Service) -> None:
    good = token(service, "viewer", tenants=frozenset({"acme"}))
    head, claims, signature = good.split(".")
    wider = json.loads(base64.urlsafe_b64decode(claims + "=="))
    wider["tenants"] = "*"
    forged = base64.urlsafe_b64encode(json.dumps(wider).encode()).decode().rstrip("=")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    hostile = (
        f"{head}.{forged}.{signature}",
        f"{unsigned}.{forged}.",
        f"{unsigned}.{claims}.{signature}",
        f"{head}.{claims}.",
        f"{head}.{claims}",
        f"{head}.{claims}.{signature[:-4]}AAAA",
        "x" * 12_000,
    )
    for each in hostile:
        with service.client(each) as client:
            answer = client.get("/v1/tenants/beta")
            assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json"), each[:40]
            assert answer.headers["www-authenticate"].startswith("Bearer")
