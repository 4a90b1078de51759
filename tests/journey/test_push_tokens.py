"""Pub/Sub's pushes as Google signs them: tokens of the subscription, certificates over HTTPS, and Google away."""

import base64
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from tests.engines.google_keys import ACCOUNT, AUDIENCE, GoogleKeys, new_key, signed
from tests.journey.callers import token
from tests.journey.service import Service

SUBSCRIPTION: Final = "projects/acme-prod/subscriptions/signals"
GRANT: Final = {"tenant_id": "acme", "entitlement_id": "ent_1", "action": "grant", "plan": "professional"}
WAIT_SECONDS_MAX: Final = 30
POLL_SECONDS: Final = 0.2


@pytest.fixture(scope="module")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoogleKeys]:
    with GoogleKeys(tmp_path_factory.mktemp("google")) as serving:
        yield serving


@pytest.fixture(scope="module")
def service(google: GoogleKeys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("pushed"), environ=google.environ) as started:
        yield started


def push(service: Service, bearer: str, payload: object, message_id: str = "1") -> httpx.Response:
    data = base64.b64encode(json.dumps(payload).encode()).decode()
    body = {"message": {"data": data, "messageId": message_id}, "subscription": SUBSCRIPTION}
    with service.client(bearer) as client:
        return client.post("/pubsub", json=body)


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["reason"]


def until(status: int, service: Service, bearer: str, meanwhile: tuple[int, str]) -> httpx.Response:
    """Push until it is answered so; the service asks Google at most every ten seconds."""
    end = time.monotonic() + WAIT_SECONDS_MAX
    while (answer := push(service, bearer, {**GRANT, "tenant_id": "waited"}, "waited")).status_code != status:
        assert refused(answer) == meanwhile
        assert time.monotonic() < end, answer.text
        time.sleep(POLL_SECONDS)
    return answer


def health(service: Service) -> tuple[int, str]:
    with service.client("") as client:
        answer = client.get("/health")
    return answer.status_code, answer.json()["checks"]["push_keys"]


def until_health(service: Service, expected: tuple[int, str]) -> None:
    """Until the next probe says so."""
    end = time.monotonic() + WAIT_SECONDS_MAX
    while (found := health(service)) != expected:
        assert time.monotonic() < end, found
        time.sleep(POLL_SECONDS)


def test_a_push_is_decided_for_any_tenant_in_the_service_accounts_name(service: Service, google: GoogleKeys) -> None:
    for tenant in ("acme", "globex"):
        answer = push(service, google.token(), {**GRANT, "tenant_id": tenant}, f"granted-{tenant}")
        (item,) = answer.json()["items"]
        cause = item["receipt"]["cause"]
        assert (answer.status_code, item["status"], cause["by"]) == (200, 200, ACCOUNT)
        assert cause["id"] == f"pubsub:{SUBSCRIPTION}:granted-{tenant}"


def test_own_tokens_push_as_before(service: Service) -> None:
    command = {**GRANT, "tenant_id": "own"}
    assert push(service, token(service, "integration"), command, "own").status_code == 200
    assert push(service, service.admin_token, command, "own").status_code == 200
    assert refused(push(service, token(service, "viewer"), command, "own")) == (403, "role_forbidden")
    only = token(service, "integration", tenants=frozenset({"other"}))
    assert refused(push(service, only, command, "own-2")) == (403, "tenant_forbidden")


def test_googles_token_opens_no_other_route(service: Service, google: GoogleKeys) -> None:
    push(service, google.token(), {**GRANT, "tenant_id": "closed"}, "closed")
    with service.client(google.token()) as client:
        for path in ("/v1/tenants", "/v1/tenants/closed", "/v1/tenants/closed/receipts", "/metrics"):
            assert client.get(path).status_code == 401, path
        for path, body in (("/marketplace", GRANT), ("/v1/tenants/closed/check", {}), ("/v1/tenants/closed/usage", {})):
            assert client.post(path, json=body).status_code == 401, path


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://other.example/pubsub"},
        {"email": "someone@acme-prod.iam.gserviceaccount.com"},
        {"email_verified": False},
        {"iss": "https://issuer.example"},
        {"iat": int(time.time()) - 7200, "exp": int(time.time()) - 3600},
        {"iat": int(time.time()) + 3600, "exp": int(time.time()) + 7200},
    ],
)
def test_another_token_of_googles_is_never_acknowledged(
    service: Service, google: GoogleKeys, claims: dict[str, Any]
) -> None:
    answer = push(service, google.token(**claims), {**GRANT, "tenant_id": "forged"}, "forged")
    assert answer.status_code == 401, answer.text
    with service.client() as client:
        assert client.get("/v1/tenants/forged").status_code == 404


def test_a_key_that_google_does_not_publish_signs_nothing(service: Service, google: GoogleKeys) -> None:
    assert refused(push(service, signed(new_key()), GRANT, "forged")) == (401, "signature_invalid")


def test_a_new_key_of_googles_is_fetched_once_and_unknown_ones_cost_no_fetch(tmp_path: Path) -> None:
    (tmp_path / "google").mkdir()
    with GoogleKeys(tmp_path / "google") as google, Service(tmp_path / "data", environ=google.environ) as service:
        assert push(service, google.token(), GRANT).status_code == 200
        google.rotate("k2")
        until(200, service, google.token("k2"), meanwhile=(401, "unauthenticated"))
        assert push(service, google.token(), GRANT).status_code == 200
        fetches, key = google.fetches, new_key()
        unknown = [refused(push(service, signed(key, f"x{n}"), GRANT)) for n in range(30)]
        assert set(unknown) == {(401, "unauthenticated")}
        assert google.fetches <= fetches + 1


def test_while_google_is_away_known_keys_are_good_and_a_start_without_them_is_a_503_until_it_is_back(
    tmp_path: Path,
) -> None:
    (tmp_path / "google").mkdir()
    with GoogleKeys(tmp_path / "google") as google:
        with Service(tmp_path / "data", environ=google.environ) as service:
            assert push(service, google.token(), GRANT).status_code == 200
            google.status = 500
            assert health(service) == (200, "ok")
            assert push(service, google.token(jti="another"), GRANT).status_code == 200
            assert service.stop() == 0
            service.start()
            away = push(service, google.token(), GRANT)
            assert refused(away) == (503, "keys_unavailable")
            assert int(away.headers["retry-after"]) >= 1
            assert push(service, service.admin_token, GRANT).status_code == 200
            until_health(service, (503, "Google's certificates: status 500; there are none"))
            google.status = 200
            until(200, service, google.token(), meanwhile=(503, "keys_unavailable"))
            until_health(service, (200, "ok"))
        assert "push_keys" in "".join(service.output)


def test_a_service_without_googles_library_does_not_start_and_says_how_to_get_it(tmp_path: Path) -> None:
    module = "blocked"
    (tmp_path / f"{module}.py").write_text(
        "import sys\nsys.modules['google.auth'] = None\nfrom tai_autonomics.__main__ import main\nsys.exit(main())\n"
    )
    environ = {"PUBSUB_PUSH_AUDIENCE": AUDIENCE, "PUBSUB_PUSH_SERVICE_ACCOUNT": ACCOUNT}
    path = ":".join([str(tmp_path), *filter(None, sys.path)])
    service = Service(
        tmp_path / "data",
        environ={**environ, "PYTHONPATH": path, "STORE_URL": f"sqlite:///{tmp_path}/t.db"},
        module=module,
    )
    with pytest.raises(AssertionError, match="did not start"):
        service.start()
    assert service.wait() == 78
    assert "pip install 'tai-autonomics[gcp]'" in "".join(service.output)
