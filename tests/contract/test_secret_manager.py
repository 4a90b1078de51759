"""Secrets from Secret Manager: Google's own client, and messages, against a double on loopback."""

import logging
import sys
import time
from collections.abc import Iterator

import grpc
import pytest
from tests.engines.secret_manager import SecretManager, State, refusing, transport_to

from tai_autonomics.errors import InvalidSetting
from tai_autonomics.settings import Loaded, Settings
from tai_autonomics.wiring import secret_manager, secrets

STORE = "projects/acme-prod/secrets/store-url"
SIGNING = "projects/acme-prod/secrets/signing"
URL = "postgresql://tai:hunter2@db.example.com/tai"


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[SecretManager]:
    with SecretManager() as running:
        monkeypatch.setattr(secret_manager, "transport", lambda: transport_to(running.address))
        running.add(STORE, URL.encode())
        yield running


def loaded(**environ: str) -> Loaded:
    return Settings.load(environ, fetch=secrets.fetch)


def problems(**environ: str) -> list[str]:
    with pytest.raises(InvalidSetting) as refused:
        loaded(**environ)
    return str(refused.value).splitlines()


@pytest.mark.parametrize("version", ["", "/versions/latest", "/versions/2", "/versions/stable"])
def test_a_secrets_value_is_that_of_its_version(manager: SecretManager, version: str) -> None:
    manager.add(STORE, f"{URL}2\n".encode())
    manager.aliases[STORE, "stable"] = 2
    found = loaded(STORE_URL=f"gsm://{STORE}{version}")
    assert found.settings.store_url == f"{URL}2"
    assert found.sources["STORE_URL"] == f"gsm://{STORE}, version 2"
    assert manager.calls == [f"{STORE}{version or '/versions/latest'}"]


def test_an_older_version_is_read_where_it_is_named(manager: SecretManager) -> None:
    manager.add(STORE, b"postgresql://h/newer")
    assert loaded(STORE_URL=f"gsm://{STORE}/versions/1").settings.store_url == URL


def test_nothing_is_asked_where_no_secret_is_kept_there(manager: SecretManager) -> None:
    assert loaded(STORE_URL="sqlite:///x.db", JWT_ISSUER=f"gsm://{STORE}").settings.jwt_issuer == f"gsm://{STORE}"
    assert manager.calls == []


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        (
            "gsm://projects/acme-prod/secrets/nothing",
            "cannot be read: there is no such secret, or no such version of it",
        ),
        (f"gsm://{STORE}/versions/9", "cannot be read: there is no such secret, or no such version of it (NOT_FOUND"),
        ("gsm://projects/acme-prod/secrets/denied", "permission denied: whoever runs this needs roles/secretmanager."),
        ("gsm://projects/acme-prod/secrets/disabled", "the version is disabled or destroyed (FAILED_PRECONDITION"),
        ("gsm://projects/acme-prod/secrets/empty", "cannot be read: version 1 is empty"),
        ("gsm://projects/acme-prod/secrets/binary", "cannot be read: it is not UTF-8"),
        ("gsm://acme-prod/store-url", "the value is no secret of Secret Manager; allowed: gsm://projects/PROJECT/"),
        (f"gsm://{STORE}/versions/", "the value is no secret of Secret Manager; allowed: gsm://projects/PROJECT/"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_setting_and_why(
    manager: SecretManager, reference: str, told: str
) -> None:
    manager.denied.add("projects/acme-prod/secrets/denied")
    manager.add("projects/acme-prod/secrets/disabled", b"hunter2", State.DISABLED)
    manager.add("projects/acme-prod/secrets/empty", b"\n")
    manager.add("projects/acme-prod/secrets/binary", b"hunter2\xff")
    (problem,) = problems(STORE_URL=reference)
    assert problem.startswith("STORE_URL: ")
    assert told in problem
    assert "hunter2" not in problem


def test_each_setting_that_cannot_be_read_is_named(manager: SecretManager) -> None:
    given = {"STORE_URL": f"gsm://{STORE}/versions/7", "TAI_WEBHOOK_SIGNING_SECRETS": f"gsm://{SIGNING}"}
    assert [each.partition(":")[0] for each in problems(**given)] == list(given)


def test_a_value_that_is_wrong_is_told_as_any_other_and_not_quoted(manager: SecretManager) -> None:
    manager.add(SIGNING, b"*=hunter2")
    (problem,) = problems(TAI_WEBHOOK_SIGNING_SECRETS=f"gsm://{SIGNING}")
    assert problem.startswith("TAI_WEBHOOK_SIGNING_SECRETS: the value has a secret that is not ")
    assert "hunter2" not in problem


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_what_passes_is_tried_again(manager: SecretManager, code: grpc.StatusCode) -> None:
    manager.before = [refusing(code), refusing(code)]
    assert loaded(STORE_URL=f"gsm://{STORE}").settings.store_url == URL
    assert len(manager.calls) == 3


def test_any_other_answer_is_told_at_once(manager: SecretManager) -> None:
    manager.before = [refusing(grpc.StatusCode.INTERNAL, "so it\ngoes")]
    (problem,) = problems(STORE_URL=f"gsm://{STORE}")
    expected = f"STORE_URL: gsm://{STORE}/versions/latest cannot be read: Secret Manager answered INTERNAL: so it goes"
    assert problem == expected
    assert len(manager.calls) == 1


def test_a_manager_that_never_answers_is_waited_for_a_bounded_time(manager: SecretManager) -> None:
    manager.before = [manager.hanging] * 20
    began = time.monotonic()
    (problem,) = problems(STORE_URL=f"gsm://{STORE}")
    took = time.monotonic() - began
    assert "cannot be read: Secret Manager did not answer within 10 s (DEADLINE_EXCEEDED" in problem
    assert secret_manager.TRY_SECONDS_MAX < took < secret_manager.FETCH_SECONDS_MAX + 1
    assert len(manager.calls) > 1


def test_nobody_there_is_told_as_no_answer(manager: SecretManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_manager, "_RETRY", secret_manager._RETRY.with_timeout(0.5))
    monkeypatch.setattr(secret_manager, "transport", lambda: transport_to("127.0.0.1:1"))
    (problem,) = problems(STORE_URL=f"gsm://{STORE}")
    assert "Secret Manager did not answer within 10 s (UNAVAILABLE" in problem


def test_without_credentials_it_is_said_how_to_give_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")
    (problem,) = problems(STORE_URL=f"gsm://{STORE}")
    assert "credentials are not found or not good: set GOOGLE_APPLICATION_CREDENTIALS, or run on Google Cl" in problem


def test_without_the_client_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tai_autonomics.wiring.secret_manager")
    monkeypatch.delattr("tai_autonomics.wiring.secret_manager")
    monkeypatch.setitem(sys.modules, "google.cloud.secretmanager_v1", None)
    (problem,) = problems(STORE_URL=f"gsm://{STORE}")
    assert problem.startswith("STORE_URL: gsm://")
    assert problem.endswith("pip install 'tai-autonomics[gcp]'")


def test_the_client_never_logs_what_it_was_answered(
    manager: SecretManager, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would, base64 in a field of the record, wherever its own logger is at debug."""
    google = logging.getLogger("google")
    monkeypatch.setattr(google, "propagate", True)
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, logger="google"):
        assert loaded(STORE_URL=f"gsm://{STORE}").settings.store_url == URL
    assert not any("response" in record.__dict__ for record in caplog.records)


def test_without_anybody_to_ask_a_reference_cannot_be_used() -> None:
    with pytest.raises(InvalidSetting, match=r"^STORE_URL: gsm://.* is in Secret Manager, which is not asked here$"):
        Settings.load({"STORE_URL": f"gsm://{STORE}"})
