"""A secret that is replaced: what is good comes into force, what is not is told and leaves the old one there."""

import asyncio
import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from tai_autonomics.application.ports import Caller
from tai_autonomics.errors import Unauthenticated
from tai_autonomics.identity.keys import KeysInForce, first_start_key, load_keys
from tai_autonomics.policy.file import load
from tai_autonomics.settings import Settings
from tai_autonomics.telemetry.logs import Logs
from tai_autonomics.telemetry.metrics import Metrics
from tai_autonomics.telemetry.observer import Telemetry
from tai_autonomics.wiring.actuators import Actuators
from tai_autonomics.wiring.machine import SystemClock
from tai_autonomics.wiring.rotation import Rotation, in_thread
from tai_autonomics.wiring.senders import Senders

PLANS = load(
    b"""
plans:
  free:
    rank: 10
    governor:
      budget: {max: 50, per: 1h}
      rules:
        - {name: cpu-high, signal: cpu, over: 3 samples, act_when: window.avg > 80.0, clear_when: window.avg < 50.0,
           cooldown: 1s, action: webhook, mode: enforce, with: {url: 'https://hooks.example.com/'}}
""",
    name="plans.yaml",
)


def whsec(letter: bytes) -> str:
    return "whsec_" + base64.b64encode(letter * 24).decode()


class House:
    """What is rotated, with its secrets in files."""

    def __init__(self, directory: Path) -> None:
        self.signing, self.store, self.keys = directory / "signing", directory / "store", directory / "keys.pem"
        self.sources = directory / "sources"
        self.signing.write_text(f"*={whsec(b'a')}")
        self.sources.write_text(f"billing={whsec(b'c')} shop={whsec(b'd')}")
        self.store.write_text("postgresql://tai:hunter2@h/db")
        self.another_key(directory / "first")
        environ = {
            "TAI_WEBHOOK_SIGNING_SECRETS_FILE": str(self.signing),
            "STORE_URL_FILE": str(self.store),
            "MARKETPLACE_WEBHOOK_SECRETS_FILE": str(self.sources),
            "MARKETPLACE_WEBHOOK_TENANTS": "shop=acme",
            "JWT_KEYS": str(self.keys),
            "JWT_ISSUER": "i",
            "JWT_AUDIENCE": "a",
        }
        loaded = Settings.load(environ)
        self.said, clock = io.BytesIO(), SystemClock()
        self.logs = Logs(self.said, clock, level="info", form="json")
        self.actuators = Actuators(loaded.settings, clock)
        self.clock, self.senders = clock, Senders(loaded.settings, clock)
        self.in_force = KeysInForce(load_keys(self.keys))
        self.rotation = Rotation(
            loaded,
            keys=self.in_force,
            actuators=self.actuators,
            senders=self.senders,
            plans=lambda: PLANS,  # type: ignore[arg-type]
            observer=Telemetry(self.logs, Metrics(environment="test"), clock),
        )

    def another_key(self, directory: Path) -> str:
        """Its kid."""
        (kid,) = first_start_key(directory).public
        self.keys.write_bytes((directory / "signing-key.pem").read_bytes())
        return kid

    def secret(self) -> Any:
        """That which signs what goes to a receiver."""
        return self.actuators.opened["webhook"]._policy.secrets["*"]  # type: ignore[attr-defined]

    def sender(self, letter: bytes) -> Caller | None:
        """Who sends a webhook that is signed with this secret; None where nobody does."""
        body, now = b"{}", self.clock.now()
        signed = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp()))}
        signed["webhook-signature"] = Webhook(whsec(letter)).sign("msg_1", now, body.decode())
        webhooks = self.senders.webhooks
        assert webhooks is not None
        try:
            claim = webhooks.claim({name.encode(): value.encode() for name, value in signed.items()})
            return webhooks.verify(claim, body).caller
        except Unauthenticated:
            return None

    def lines(self) -> list[dict[str, Any]]:
        self.logs.close()
        assert b"hunter2" not in self.said.getvalue()
        assert base64.b64encode(b"b" * 24) not in self.said.getvalue()
        return [json.loads(line) for line in self.said.getvalue().splitlines()]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def reading(house: House, *changes: Callable[[], object], asked: bool = False) -> None:
    """Read once after each change."""

    async def read() -> None:
        await house.actuators.check(PLANS)
        for change in changes:
            change()
            await house.rotation.read(asked=asked)

    asyncio.run(read())


def test_a_new_signing_secret_signs_from_the_next_attempt_on(house: House) -> None:
    reading(house, lambda: house.signing.write_text(f"*={whsec(b'a')} *={whsec(b'b')}"))
    assert house.secret() == (b"a" * 24, b"b" * 24)
    (line,) = house.lines()
    assert (line["message"], line["changed"]) == ("the secrets were read again", ["TAI_WEBHOOK_SIGNING_SECRETS"])


def test_nothing_is_said_of_secrets_that_are_as_they_were_unless_it_was_asked_for(house: House) -> None:
    reading(house, lambda: None)
    reading(house, lambda: None, asked=True)
    (line,) = house.lines()
    assert (line["message"], line["changed"]) == ("the secrets were read again", [])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("*=hunter2", "the value has a secret that is not base64"),
        ("", "cannot be read from TAI_WEBHOOK_SIGNING_SECRETS_FILE: the file is empty"),
        (None, "cannot be read from TAI_WEBHOOK_SIGNING_SECRETS_FILE: No such file or directory"),
        (f"other.example.com={whsec(b'b')}", "TAI_WEBHOOK_SIGNING_SECRETS has no secret for the receiver"),
    ],
)
def test_one_that_cannot_be_used_is_told_and_the_old_one_stays(house: House, content: str | None, why: str) -> None:
    def spoil() -> None:
        house.signing.unlink() if content is None else house.signing.write_text(content)

    def mend() -> None:
        house.signing.write_text(f"*={whsec(b'b')}")

    reading(house, spoil)
    assert house.secret() == (b"a" * 24,)
    reading(house, mend)
    assert house.secret() == (b"b" * 24,)
    told, mended = house.lines()
    assert (told["severity"], told["task"]) == ("ERROR", "secrets")
    assert "TAI_WEBHOOK_SIGNING_SECRETS: " in told["stack_trace"]
    assert why in told["stack_trace"]
    assert told["stack_trace"].rstrip().endswith("; what was in force stays")
    assert mended["changed"] == ["TAI_WEBHOOK_SIGNING_SECRETS"]


def sender(source: str, *tenants: str) -> Caller:
    return Caller(f"webhook:{source}", frozenset({"integration"}), frozenset(tenants) or None)


def test_a_new_secret_of_a_source_of_webhooks_verifies_from_the_next_one_on(house: House) -> None:
    assert [house.sender(letter) for letter in (b"c", b"d", b"e")] == [sender("billing"), sender("shop", "acme"), None]
    reading(house, lambda: house.sources.write_text(f"shop={whsec(b'd')} shop={whsec(b'e')} crm={whsec(b'f')}"))
    assert [house.sender(letter) for letter in (b"c", b"d", b"e", b"f")] == [
        None,
        sender("shop", "acme"),
        sender("shop", "acme"),
        sender("crm"),
    ]
    (line,) = house.lines()
    assert (line["message"], line["changed"]) == ("the secrets were read again", ["MARKETPLACE_WEBHOOK_SECRETS"])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("billing=hunter2", "the value has a secret that is not base64"),
        (f"billing={whsec(b'b')} shop={whsec(b'b')}", "the value has a secret that is there twice"),
        (f"billing={whsec(b'b')}", "has no secret for shop, which MARKETPLACE_WEBHOOK_TENANTS names"),
        ("", "cannot be read from MARKETPLACE_WEBHOOK_SECRETS_FILE: the file is empty"),
        (None, "cannot be read from MARKETPLACE_WEBHOOK_SECRETS_FILE: No such file or directory"),
    ],
)
def test_secrets_of_sources_that_cannot_be_used_are_told_and_those_before_stay(
    house: House, content: str | None, why: str
) -> None:
    def spoil() -> None:
        house.sources.unlink() if content is None else house.sources.write_text(content)

    reading(house, spoil)
    assert [house.sender(letter) for letter in (b"b", b"c", b"d")] == [None, sender("billing"), sender("shop", "acme")]
    reading(house, lambda: house.sources.write_text(f"shop={whsec(b'b')}"))
    assert [house.sender(letter) for letter in (b"b", b"c", b"d")] == [sender("shop", "acme"), None, None]
    told, mended = house.lines()
    assert f"MARKETPLACE_WEBHOOK_SECRETS: {why}" in told["stack_trace"]
    assert told["stack_trace"].rstrip().endswith("; what was in force stays")
    assert mended["changed"] == ["MARKETPLACE_WEBHOOK_SECRETS"]


def test_another_store_is_told_once_and_waits_for_a_restart(house: House) -> None:
    def elsewhere() -> None:
        house.store.write_text("postgresql://tai:hunter2@elsewhere/db")

    reading(house, elsewhere, lambda: None)
    (line,) = house.lines()
    assert line["severity"] == "WARNING"
    assert (line["message"], line["setting"], line["source"]) == (
        "a secret has changed that comes into force with a restart",
        "STORE_URL",
        "STORE_URL_FILE",
    )


def test_another_key_verifies_and_the_one_before_no_longer(house: House, tmp_path: Path) -> None:
    (old,) = load_keys(house.keys).public
    kids = [old]
    reading(house, lambda: kids.append(house.another_key(tmp_path / "second")))
    found = [asyncio.run(house.in_force.find(kid)) is not None for kid in kids]
    assert found == [False, True]
    (line,) = house.lines()
    assert line["changed"] == ["JWT_KEYS"]


def test_a_file_of_keys_that_is_none_leaves_those_before(house: House) -> None:
    (kid,) = load_keys(house.keys).public
    reading(house, lambda: house.keys.write_text("-----BEGIN hunter2"))
    assert asyncio.run(house.in_force.find(kid)) is not None
    (line,) = house.lines()
    assert f"JWT_KEYS: {house.keys} " in line["stack_trace"]
    assert "what was in force stays" in line["stack_trace"]


def test_what_is_wrong_with_one_secret_keeps_no_other_from_its_new_value(house: House, tmp_path: Path) -> None:
    def change() -> None:
        house.store.unlink()
        house.another_key(tmp_path / "second")
        house.signing.write_text(f"*={whsec(b'b')}")

    reading(house, change)
    assert house.secret() == (b"b" * 24,)
    told, changed = house.lines()
    assert "STORE_URL: cannot be read from STORE_URL_FILE: No such file or directory" in told["stack_trace"]
    assert changed["changed"] == ["JWT_KEYS", "TAI_WEBHOOK_SIGNING_SECRETS"]


def test_a_value_of_the_environment_is_not_read_again() -> None:
    environ = {"TAI_WEBHOOK_SIGNING_SECRETS": f"*={whsec(b'a')}"}
    loaded = Settings.load(environ)
    environ["TAI_WEBHOOK_SIGNING_SECRETS"] = f"*={whsec(b'b')}"
    assert loaded.read_again() == ()


def test_no_text_of_a_secret_that_was_read_again_holds_it(house: House) -> None:
    house.logs.close()
    rereads = house.rotation._loaded.read_again()
    assert next(each.value for each in rereads) == "postgresql://tai:hunter2@h/db"
    assert "hunter2" not in repr(rereads)


def test_what_fails_in_the_thread_is_raised_where_it_is_waited_for() -> None:
    def fails() -> None:
        raise OSError("so it goes")

    with pytest.raises(OSError, match="so it goes"):
        asyncio.run(in_thread(fails))
