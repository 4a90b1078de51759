"""What Terraform sets, the service reads: names, values and bounds agree with `settings`."""

import re
from collections.abc import Iterator
from typing import Any

import pygohcl
from tests.house.terraform_policy import FILES, SECRETS, TERRAFORM, module

from tai_autonomics.settings import TABLE, Fetched, Settings

OURS = module(FILES)
EXAMPLE: dict[str, Any] = pygohcl.loads((TERRAFORM / "terraform.tfvars.example").read_text())
NAMES = {setting.name for setting in TABLE.values()}
DEFAULTS = {setting.name: setting.default for setting in TABLE.values()}
GOOGLES = {
    "google_firestore_database.ledgers.name": "var.database",
    "google_service_account.push.email": "var.service-push@var.project.iam.gserviceaccount.com",
    "data.google_project.this.number": "4711",
    'var.url == "" ? ': "",
    " : var.url": "",
}
"""What Google answers, and the way that the example takes at a fork."""


def resolved(text: str) -> str:
    for written, becomes in GOOGLES.items():
        text = text.replace(written, becomes)
    text = re.sub(r"\$\{([^}]*)\}", r"\1", text).replace('"', "")
    named = re.search(r"\b(var|local)\.(\w+)", text)
    if named is None:
        return re.sub(r"^tostring\((.*)\)$", r"\1", text)
    value = EXAMPLE.get(named[2], OURS.variables.get(named[2], {}).get("default"))
    value = OURS.locals[named[2]] if named[1] == "local" else value
    return resolved(text[: named.start()] + str(value) + text[named.end() :])


def set_besides() -> Iterator[str]:
    """The names that are set where something is asked for."""
    yield from re.findall(r"\{ ([A-Z][A-Z0-9_]+) = ", OURS.locals["settings"])
    yield from secret_settings()


def secret_settings() -> set[str]:
    return set(re.findall(r'"([A-Z_]+)"', str(OURS.variables["secret_settings"]["validation"])))


def test_every_name_that_is_set_is_a_setting() -> None:
    assert {*OURS.locals["environment"], *set_besides()} - NAMES == set()
    assert set(set_besides()) == {
        *secret_settings(), "JWT_KEYS", "JWT_JWKS_URL", "PLANS_FILE", "OTEL_EXPORTER_OTLP_ENDPOINT",
    }  # fmt: skip


def test_every_secret_of_a_service_on_firestore_can_come_from_secret_manager() -> None:
    assert secret_settings() == SECRETS - {"STORE_URL"}
    assert set(EXAMPLE["secret_settings"]) <= secret_settings()


def test_a_service_starts_with_what_the_example_sets() -> None:
    environ = {name: resolved(value) for name, value in OURS.locals["environment"].items()}
    environ |= {"JWT_JWKS_URL": EXAMPLE["jwks_url"], "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}
    loaded = Settings.load({**environ, "K_SERVICE": "tai-autonomics"}, serving=True)
    assert loaded.warnings == ()
    assert loaded.settings.gcp_project_id == "acme-prod"
    assert loaded.settings.firestore_database == "(default)"
    assert loaded.settings.pubsub_push_audience == "https://tai-autonomics-4711.europe-west1.run.app/pubsub"
    assert loaded.settings.pubsub_push_service_account == "tai-autonomics-push@acme-prod.iam.gserviceaccount.com"
    assert loaded.settings.lanes_max == 50_000


def test_a_secret_is_read_by_the_name_that_terraform_gives_it() -> None:
    named = re.search(r"name => \"(gsm://[^\"]*)\"", OURS.locals["settings"])
    assert named is not None
    reference = resolved(named[1].replace("${id}", "tai-autonomics-webhook-signing-secrets"))
    asked: list[str] = []

    def fetch(name: str) -> Fetched:
        asked.append(name)
        return Fetched(b"*=whsec_" + b"A" * 32, "1")

    Settings.load({"TAI_WEBHOOK_SIGNING_SECRETS": reference}, fetch=fetch)
    assert asked == ["projects/acme-prod/secrets/tai-autonomics-webhook-signing-secrets/versions/latest"]


def test_the_bounds_outside_the_service_are_wider_than_its_own() -> None:
    assert OURS.variables["concurrency"]["default"] < int(DEFAULTS["TAI_REQUESTS_AT_ONCE_MAX"] or 0)
    assert OURS.variables["ack_deadline_seconds"]["default"] > float(DEFAULTS["TAI_REQUEST_SECONDS_MAX"] or 0)
    assert resolved(OURS.locals["environment"]["TAI_METRICS_ADDRESS"]) == DEFAULTS["TAI_METRICS_ADDRESS"]


def test_the_example_names_variables_that_there_are_and_all_that_are_required() -> None:
    required = {name for name, variable in OURS.variables.items() if "default" not in variable}
    assert required <= EXAMPLE.keys() <= OURS.variables.keys()


def test_the_indexes_of_terraform_are_those_that_the_queries_are_tested_against() -> None:
    ours, tested = TERRAFORM / "indexes.json", TERRAFORM.parent / "firestore.indexes.json"
    assert ours.read_text() == tested.read_text(), "cp firestore.indexes.json terraform/indexes.json"
