"""What is optional is known by name: no setting that may be unset is forgotten."""

from typing import get_args, get_type_hints

import pytest

from tai_autonomics.settings import FEATURES, TABLE, Settings, features, switched_off

PART_OF = {
    "pubsub_push_service_account": "pubsub_push_audience",
    "marketplace_webhook_tenants": "marketplace_webhook_secrets",
    "webhook_addresses_allowed": "webhook_signing_secrets",
    "gcp_region": "gcp_project_id",
}
"""Set together with the feature, or narrowing it."""
OF_THE_STORE = {"firestore_database", "firestore_emulator_host"}
OF_THE_KEYS = {"jwt_keys"}
OF_TESTS = {"pubsub_emulator_host"}
ON = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
    "TAI_METRICS_ADDRESS": "127.0.0.1:9464",
    "PUBSUB_PUSH_AUDIENCE": "https://tai.example/pubsub",
    "PUBSUB_PUSH_SERVICE_ACCOUNT": "push@some-project.iam.gserviceaccount.com",
    "MARKETPLACE_WEBHOOK_SECRETS": "shop=whsec_" + "QUJD" * 8,
    "TAI_WEBHOOK_SIGNING_SECRETS": "*=whsec_" + "REVG" * 8,
    "GCP_PROJECT_ID": "some-project",
    "JWT_JWKS_URL": "https://issuer.example/keys",
    "JWT_ISSUER": "https://issuer.example",
    "JWT_AUDIENCE": "tai",
    "PLANS_FILE": "plans.yaml",
    "TAI_BACKUPS_DIR": "backups",
}


def test_every_setting_that_may_be_unset_is_a_feature_or_a_part_of_one() -> None:
    optional = {
        field for field, hint in get_type_hints(Settings).items() if field in TABLE and type(None) in get_args(hint)
    }
    assert optional == {*FEATURES, *PART_OF, *OF_THE_STORE, *OF_THE_KEYS, *OF_TESTS}


def test_unset_and_empty_is_off() -> None:
    off = {"TAI_METRICS_ADDRESS": "off"} | {TABLE[field].name: "" for field in FEATURES if field != "metrics_address"}
    settings = Settings.load(off).settings
    assert [each.on for each in features(settings)] == [False] * len(FEATURES)
    assert all(TABLE[field].name in switched_off(settings) for field in FEATURES)


@pytest.mark.parametrize("field", FEATURES)
def test_what_is_set_is_on(field: str) -> None:
    settings = Settings.load(ON).settings
    assert {each.variable: each.on for each in features(settings)}[TABLE[field].name] is True
    assert switched_off(settings) == ""
