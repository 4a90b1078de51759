"""The example of production's environment would let the service start, and no mistake in a copy of it passes."""

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
EXAMPLE: Final = ROOT / ".env.prod.example"
mistakes: Final[Callable[[str], list[str]]] = runpy.run_path(str(ROOT / "deploy" / "env_vars_file.py"))["mistakes"]


def changed(**values: str | None) -> str:
    """The example with other values; None takes a name out."""
    written = yaml.safe_load(EXAMPLE.read_text()) | values
    return yaml.safe_dump({name: value for name, value in written.items() if value is not None}, default_style='"')


def test_the_example_has_no_mistake() -> None:
    assert mistakes(EXAMPLE.read_text()) == []
    assert mistakes(changed()) == []


@pytest.mark.parametrize("name", sorted(yaml.safe_load(EXAMPLE.read_text())))
def test_each_of_its_names_misspelt_is_a_mistake(name: str) -> None:
    found = mistakes(EXAMPLE.read_text().replace(f"{name}:", f"{name}S:"))
    assert f"{name}S: nothing reads it" in found


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL: 'loud'"),
        ({"TRACE_SAMPLE_RATIO": "2"}, "TRACE_SAMPLE_RATIO: '2'"),
        ({"JWT_KEYS": "/keys/jwks.json"}, "JWT_JWKS_URL: is set beside JWT_KEYS"),
        ({"JWT_ISSUER": None}, "JWT_ISSUER: is not set"),
        ({"JWT_JWKS_URL": None}, "JWT_KEYS or JWT_JWKS_URL: neither is set"),
        ({"PUBSUB_PUSH_SERVICE_ACCOUNT": None}, "PUBSUB_PUSH_SERVICE_ACCOUNT: is not set"),
        (
            {"FIRESTORE_DATABASE": "receipts-2", "STORE_URL": "firestore://my-project/receipts-1"},
            "FIRESTORE_DATABASE: ",
        ),
        ({"STORE_URL": "sqlite:///tai.db"}, "STORE_URL: a secret in the clear"),
        ({"STORE_URL": "postgresql://tai:hunter2@db/tai"}, "STORE_URL: a secret in the clear"),
        ({"STORE_URL": None}, "STORE_URL: an embedded store is lost"),
        (
            {"MARKETPLACE_WEBHOOK_SECRETS": "crm=whsec_" + "A" * 32},
            "MARKETPLACE_WEBHOOK_SECRETS: a secret in the clear",
        ),
        ({"MARKETPLACE_WEBHOOK_SECRETS": "gsm://my-project/secret"}, "MARKETPLACE_WEBHOOK_SECRETS: the value is no"),
        ({"PORT": "8080"}, "PORT: Cloud Run sets it"),
        ({"K_SERVICE": "svc"}, "K_SERVICE: Cloud Run sets it"),
    ],
)
def test_a_wrong_value_is_a_mistake_and_no_secret_is_said(changes: dict[str, str | None], mistake: str) -> None:
    found = mistakes(changed(**changes))
    assert any(each.startswith(mistake) for each in found), found
    assert not any("hunter2" in each or "whsec_" in each for each in found)


@pytest.mark.parametrize(
    "text",
    ["LOG_LEVEL=info", "- LOG_LEVEL", "a: [", "", 'LOG_LEVEL: "info"\nLOG_LEVEL: "debug"', "TRACE_SAMPLE_RATIO: 0.1"],
)
def test_what_gcloud_or_a_reader_takes_otherwise_is_a_mistake(text: str) -> None:
    assert mistakes(text) != []


def test_a_store_that_is_named_by_a_secret_is_taken() -> None:
    for name, value in (
        ("STORE_URL", "gsm://projects/my-project/secrets/store-url"),
        ("STORE_URL_FILE", "/secrets/store-url"),
    ):
        assert mistakes(changed(STORE_URL=None, FIRESTORE_DATABASE=None) + f"{name}: '{value}'\n") == []


def test_the_command_says_the_file_and_ends_with_1(tmp_path: Path) -> None:
    for text, status in ((EXAMPLE.read_text(), 0), (changed(LOG_LEVEL="loud"), 1)):
        (tmp_path / "prod").write_text(text)
        command = [sys.executable, str(ROOT / "deploy" / "env_vars_file.py"), str(tmp_path / "prod")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout.count(f"{tmp_path / 'prod'}: LOG_LEVEL")) == (status, status)
