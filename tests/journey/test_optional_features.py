"""With every optional feature off a service serves, and says of each that it is off."""

import json
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.journey.service import Service

from tai_autonomics.cli.app import run
from tai_autonomics.settings import FEATURES, TABLE

pytestmark = [pytest.mark.embedded, pytest.mark.long]

OFF = {"TAI_METRICS_ADDRESS": "off"} | {
    setting.name: "" for setting in TABLE.values() if setting.default is None and setting.name != "TAI_METRICS_ADDRESS"
}
GRANT = {"tenant_id": "acme", "entitlement_id": "ent_1", "action": "grant", "plan": "professional"}
PUSH = {"message": {"data": "e30=", "messageId": "1"}, "subscription": "projects/p/subscriptions/s"}
RULE_THAT_NEEDS_A_SECRET = """
plans:
  basic:
    rank: 1
    quotas: {}
    governor:
      budget: {max: 5, per: 1h}
      rules:
        - {name: high, signal: cpu, over: 1 samples, act_when: value > 80.0, clear_when: value < 50.0, cooldown: 10m,
           action: webhook, with: {url: "https://receiver.example/hook"}, mode: enforce}
"""


@pytest.fixture
def service(tmp_path: Path):
    with Service(tmp_path, environ=OFF) as started:
        yield started


def logged(service: Service, message: str) -> dict[str, str]:
    lines = [json.loads(line) for line in service.output]
    return next(line for line in lines if line["message"] == message)


def test_the_log_names_each_with_the_variable_that_brings_it(service: Service) -> None:
    off = logged(service, "optional, and off")["features"]
    assert [TABLE[field].name for field in FEATURES if f"({TABLE[field].name})" not in off] == []
    assert logged(service, "listening")["metrics"] is None


def test_everything_else_is_served(service: Service) -> None:
    with service.client() as client:
        assert client.get("/health").json()["checks"].keys() == {"store", "clock"}
        assert client.get("/health/live").status_code == 200
        assert client.post("/marketplace", json=GRANT, headers={"Idempotency-Key": "1"}).status_code == 200
        assert client.post("/v1/tenants/acme/check", json={"quota": "api_calls"}).json()["allowed"] is True
        signal = {"metric": "cpu_utilization", "value": 99.5}
        assert client.post("/v1/tenants/acme/signals", json=signal, headers={"Idempotency-Key": "2"}).is_success
        assert client.post("/pubsub", json=PUSH).json()["quarantined"]["reason"]
        # Metrics are there for whoever has a token, and count no spans, as there are none.
        metrics = client.get("/metrics").text
        assert "tai_build_info" in metrics
        assert "tai_spans" not in metrics
    assert service.stop() == 0


def test_senders_without_a_token_of_ours_are_told_what_is_missing(service: Service) -> None:
    signed = {"webhook-id": "m1", "webhook-timestamp": "1", "webhook-signature": "v1,AA=="}
    with service.client("") as client:
        refused = client.post("/marketplace", json=GRANT, headers=signed)
        assert (refused.status_code, refused.json()["reason"]) == (401, "unauthenticated")
        assert refused.json()["detail"].startswith("no source of signed webhooks is set up here")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    google = jwt.encode({"iss": "https://accounts.google.com"}, key, algorithm="RS256", headers={"kid": "google-1"})
    with service.client(google) as client:
        assert client.post("/pubsub", json=PUSH).status_code == 401


def test_a_rule_that_needs_what_is_off_stops_the_start_and_says_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plans = tmp_path / "plans.yaml"
    plans.write_text(RULE_THAT_NEEDS_A_SECRET)
    for name, value in {**OFF, "PLANS_FILE": str(plans), "STORE_URL": ""}.items():
        monkeypatch.setenv(name, value)
    assert run(["serve", "--dev", "--port", "0", "--data-dir", str(tmp_path / "data")]) == 78
    assert "rule high: webhook: TAI_WEBHOOK_SIGNING_SECRETS is not set" in capsys.readouterr().err
