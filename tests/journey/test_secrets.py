"""
A secret is never said: not in a log at debug, a problem, a metric, what a command prints, a receipt or a traceback.

Each secret setting has a value that can be recognized, every way to fail is driven, and everything that was said is
searched for each of them in every spelling.
"""

import asyncio
import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

import httpx
import pytest
from standardwebhooks import Webhook
from tests.engines import postgresql
from tests.engines.ports import free_port
from tests.engines.receiver import Receiver, status
from tests.engines.secret_manager import SecretManager
from tests.journey.leaks import leaked, spellings
from tests.journey.ledgers import exported
from tests.journey.service import Service
from tests.journey.tokens import minted, own_keys

from tai_autonomics.identity.keys import KEY_FILE
from tai_autonomics.settings import TABLE

pytestmark = [pytest.mark.anyio, pytest.mark.embedded]

SECONDS_MAX: Final = 60
PASSWORD: Final = "Marked+pass/word&of the=store"
SIGNING: Final = b"marked \xff\xfe+signing/secret of a receiver"
SENDERS: Final = b"marked \x00\x10+secret of/a webhook's source"
NEW_SENDERS: Final = b"marked \xfe\x01+secret that/came then"
QUOTED: Final = quote(PASSWORD, safe="")
WHSEC: Final = "whsec_" + base64.b64encode(SIGNING).decode()
PEM: Final = "-----BEGIN PRIVATE KEY-----\nbWFya2VkIGtleSBpbiBhIHBsYWNlIG9mIGEgcGF0aA==\n-----END PRIVATE KEY-----"
SECRETS: Final = {
    "password": PASSWORD.encode(),
    "signing secret": SIGNING,
    "sender's secret": SENDERS,
    "pasted key": b"marked key in a place of a path",
}
GIVEN: Final = {
    "STORE_URL": f"postgresql://tai:{QUOTED}@127.0.0.1:PORT/tai?password={QUOTED}&sslpassword={QUOTED}",
    "TAI_WEBHOOK_SIGNING_SECRETS": f"*={WHSEC}",
    "MARKETPLACE_WEBHOOK_SECRETS": f"billing=whsec_{base64.b64encode(SENDERS).decode()}",
}
PLANS: Final = """
plans:
  free:
    rank: 10
    governor:
      budget: {max: 50, per: 1h}
      rules:
        - {name: cpu-high, signal: cpu, over: 3 samples, act_when: window.avg > 80.0, clear_when: window.avg < 50.0,
           cooldown: 1s, action: webhook, mode: enforce, attempts: 2, timeout: 1s, with: {url: 'URL'}}
"""


def tai(environ: dict[str, str], *arguments: str, module: str = "tai_autonomics") -> str:
    """What a command printed, each way, and at log level debug the traceback of what ended it."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        env={**os.environ, "LOG_LEVEL": "debug", "TAI_METRICS_ADDRESS": "off", **environ},
        check=False,
    )
    return done.stdout + done.stderr


def test_every_secret_setting_is_marked_here() -> None:
    assert {setting.name for setting in TABLE.values() if setting.secret} == set(GIVEN)


@pytest.mark.parametrize("name", SECRETS)
def test_a_leak_is_found_however_it_is_spelled(name: str) -> None:
    for spelling in spellings(SECRETS[name]):
        assert leaked(f"before{spelling}after", SECRETS)
    for before in (b"", b"a", b"ab", b"abc"):
        assert leaked(base64.b64encode(before + SECRETS[name] + b"after").decode(), SECRETS)
    assert leaked("password signing secret pasted key", SECRETS) == []


def refused(**environ: str) -> dict[str, str]:
    """The marked settings, with these in their place; nobody listens at the store's port."""
    given = {**GIVEN, "STORE_URL": GIVEN["STORE_URL"].replace("PORT", str(free_port()))}
    return {**given, **environ}


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({}, id="a store that nobody answers at"),
        *(
            pytest.param({"STORE_URL": url}, id=f"a store's URL: {what}")
            for what, url in {
                "without a database": f"postgresql://tai:{QUOTED}@db.example.com",
                "of an unknown scheme": f"mysql://tai:{QUOTED}@db.example.com/tai",
                "a password that is not escaped": f"postgresql://tai:{PASSWORD}@db.example.com/tai",
                "a password that libpq cannot decode": f"postgresql://tai:{QUOTED}%zz@127.0.0.1:1/tai",
                "an option that libpq does not know": f"postgresql://tai:{QUOTED}@127.0.0.1:1/tai?pasword={QUOTED}",
                "a port that is none": f"postgresql://tai:{QUOTED}@127.0.0.1:{'9' * 5}/tai",
                "the password alone": PASSWORD,
            }.items()
        ),
        *(
            pytest.param({"TAI_WEBHOOK_SIGNING_SECRETS": value}, id=f"signing secrets: {what}")
            for what, value in {
                "without a host": WHSEC,
                "a host in upper case": f"Example.com={WHSEC}",
                "without whsec_": f"*={WHSEC.removeprefix('whsec_')}",
                "no base64": f"*={WHSEC}!",
                "too many of one host": " ".join([f"*={WHSEC}"] * 5),
            }.items()
        ),
        *(
            pytest.param({name: value}, id=f"pasted into {name}")
            for name, value in {
                "JWT_KEYS": PEM,
                "PLANS_FILE": f"https://user:{QUOTED}@example.com/plans",
                "JWT_JWKS_URL": f"https://user:{QUOTED}@idp.example.com/keys",
                "HOST": f"user:{QUOTED}@host/",
                "JWT_ISSUER": f"signing {WHSEC}",
            }.items()
        ),
    ],
)
def test_what_commands_print_of_a_wrong_setting_holds_no_secret(environ: dict[str, str], tmp_path: Path) -> None:
    given = refused(**environ, TAI_DATA_DIR=str(tmp_path), **_keys(tmp_path, environ))
    for command in ("config", "config --json", "doctor --json", "serve --port 0", "receipts verify"):
        said = tai(given, *command.split())
        assert said.strip()
        assert leaked(said, SECRETS) == [], command


def _keys(directory: Path, environ: dict[str, str]) -> dict[str, str]:
    keys = own_keys(directory)
    return {name: value for name, value in keys.items() if "JWT_JWKS_URL" not in environ and name not in environ}


@pytest.mark.parametrize("name", GIVEN)
def test_a_secrets_file_that_cannot_be_used_is_not_quoted(name: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    value = refused()[name]
    for content in (value.encode() + b"\xff", value.encode() * 2000, f"{value}\nand {value}".encode()):
        file.write_bytes(content)
        environ = refused(TAI_DATA_DIR=str(tmp_path), **{f"{name}_FILE": str(file)})
        for given in (environ, {other: each for other, each in environ.items() if other != name}):
            for command in ("config", "doctor"):
                said = tai(given, command)
                assert name in said
                assert leaked(said, SECRETS) == []


def test_an_error_that_nobody_foresaw_shows_where_and_no_secret(tmp_path: Path) -> None:
    environ = refused(**own_keys(tmp_path), TAI_DATA_DIR=str(tmp_path), FAILING_AT="start")
    said = tai(environ, "serve", "--port", "0", module="tests.journey.failing")
    assert "Traceback" in said
    assert "forced at the start: Loaded(settings=Settings(" in said
    assert leaked(said, SECRETS) == []


class Everything:
    """What a service said, and what it was told that it must not repeat."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.answers: list[str] = []
        token = service.admin_token
        parts = token.split(".")
        self.forged = f"{parts[0]}.{parts[1]}.{parts[2][::-1]}"
        self.secrets = {
            **SECRETS,
            "token": token.encode(),
            "its signature": parts[2].encode(),
            "another signature": parts[2][::-1].encode(),
            "own key": "".join((service.data_dir / KEY_FILE).read_text().splitlines()[1:-1]).encode(),
        }

    async def ask(self, client: httpx.AsyncClient, method: str, path: str, **request: object) -> httpx.Response:
        answer = await client.request(method, path, **request)  # type: ignore[arg-type]
        self.answers.append(f"{answer.status_code} {answer.headers} {answer.text}")
        return answer

    def leaked(self) -> list[str]:
        return leaked("\n".join((*self.service.output, *self.answers)), self.secrets)


async def drive(everything: Everything, client: httpx.AsyncClient) -> None:
    """Good calls and bad ones."""
    token = everything.service.admin_token
    grant = {"tenant_id": "acme", "entitlement_id": "ent_1", "action": "grant", "plan": "free", "request_id": "g"}
    await everything.ask(client, "POST", "/marketplace", json=grant)
    for value in (91, 92, 93, "no number", None):
        body = {"metric": "cpu", "value": value}
        await everything.ask(client, "POST", "/v1/tenants/acme/signals", json=body)
    for path in ("/v1/tenants/acme/receipts", "/v1/tenants/acme", "/health", "/metrics", "/nowhere"):
        await everything.ask(client, "GET", path)
    short = minted(everything.service.data_dir, "auditor", tenants=frozenset({"bob"}))
    for credential in (f"Bearer {everything.forged}", f"Basic {token}", token, f"Bearer {token}x", f"Bearer {short}"):
        headers = {"Authorization": credential}
        await everything.ask(client, "GET", "/v1/tenants/acme", headers=headers)
        await everything.ask(client, "POST", "/marketplace", json=grant, headers=headers)
    await everything.ask(client, "GET", f"/v1/tenants/acme?access_token={token}")
    await everything.ask(client, "GET", "/v1/tenants/acme", headers={"X-Long": "x" * 20_000, "X-Token": token})
    await everything.ask(client, "POST", "/marketplace", content=b'{"tenant_id": "acme", ')
    await everything.ask(client, "POST", "/pubsub", content=b"{")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("module", ["tai_autonomics", "tests.journey.failing"])
async def test_what_a_service_says_holds_no_secret(module: str, form: str, tmp_path: Path) -> None:
    plans = tmp_path / "plans.yaml"
    environ = {
        "PLANS_FILE": str(plans),
        "TAI_WEBHOOK_SIGNING_SECRETS": GIVEN["TAI_WEBHOOK_SIGNING_SECRETS"],
        "MARKETPLACE_WEBHOOK_SECRETS": GIVEN["MARKETPLACE_WEBHOOK_SECRETS"],
        "TAI_WEBHOOK_ADDRESSES_ALLOWED": "127.0.0.0/8",
        "TAI_TIMER_POLL_SECONDS": "0.2",
        "LOG_LEVEL": "debug",
        "LOG_FORMAT": form,
        "FAILING_AT": "serving",
    }
    async with Receiver(status(410)) as receiver:
        plans.write_text(PLANS.replace("URL", receiver.url))
        with Service(tmp_path, environ=environ, module=module) as service:
            everything = Everything(service)
            async with httpx.AsyncClient(base_url=service.url, timeout=20) as client:
                client.headers["Authorization"] = f"Bearer {service.admin_token}"
                await drive(everything, client)
                plans.write_text("plans: none")
                os.kill(service.pid, signal.SIGHUP)
                await until(lambda: "plans" in "".join(service.output))
                if module == "tai_autonomics":
                    await asyncio.wait_for(receiver.arrived.wait(), SECONDS_MAX)
                else:
                    await until(lambda: "forced in an attempt" in "".join(service.output))
                    assert "forced in a request: Settings(" in "".join(service.output)
                    assert "Traceback" in "".join(service.output)
                await everything.ask(client, "GET", "/v1/tenants/acme/actions")
                await everything.ask(client, "GET", "/metrics")
            service.stop()
    everything.answers += [line.decode() for line in await asyncio.to_thread(exported, service.data_dir)]
    assert any(answer.startswith("401") for answer in everything.answers)
    assert everything.leaked() == []


@pytest.mark.parametrize("place", ["file", "gsm"])
def test_a_source_of_webhooks_signs_with_another_secret_without_a_restart_and_none_is_said(
    place: str, tmp_path: Path
) -> None:
    name, secrets = "MARKETPLACE_WEBHOOK_SECRETS", {**SECRETS, "new secret": NEW_SENDERS}
    old, new = (f"billing=whsec_{base64.b64encode(each).decode()}" for each in (SENDERS, NEW_SENDERS))
    file, resource = tmp_path / "sources", "projects/acme-prod/secrets/sources"
    with SecretManager() as manager:

        def put(text: str) -> None:
            if place == "gsm":
                manager.add(resource, text.encode())
            else:
                (tmp_path / "next").write_text(text)
                (tmp_path / "next").rename(file)

        def sent(secret: bytes, id: str) -> tuple[int, bool]:
            """The status, and whether it is an earlier answer."""
            grant = b'{"tenant_id":"acme","entitlement_id":"e","action":"grant","plan":"professional"}'
            now = datetime.now(UTC)
            sign = Webhook(base64.b64encode(secret).decode()).sign(id, now, grant.decode())
            headers = {"webhook-id": id, "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": sign}
            with service.client("") as client:
                answer = client.post("/marketplace", content=grant, headers=headers)
            answers.append(f"{answer.status_code} {answer.headers} {answer.text}")
            return answer.status_code, "idempotent-replayed" in answer.headers

        def until_said(text: str, *, times: int = 1) -> None:
            """After the next reading."""
            os.kill(service.pid, signal.SIGHUP)
            end = time.monotonic() + SECONDS_MAX
            while "".join(service.output).count(text) < times:
                assert time.monotonic() < end, text
                time.sleep(0.05)

        put(old)
        environ = {name: f"gsm://{resource}"} if place == "gsm" else {f"{name}_FILE": str(file)}
        environ |= {"SECRET_MANAGER": manager.address, "TAI_SECRETS_REFRESH_SECONDS": "0", "LOG_LEVEL": "debug"}
        answers = list[str]()
        with Service(tmp_path / "data", environ=environ, module="tests.journey.with_secret_manager") as service:
            assert (sent(SENDERS, "m1"), sent(NEW_SENDERS, "m2")) == ((200, False), (401, False))
            put(f"{new}!")
            until_said("what was in force stays")
            assert (sent(SENDERS, "m1"), sent(NEW_SENDERS, "m2")) == ((200, True), (401, False))
            put(f"{old} {new}")
            until_said(f'"changed":["{name}"]')
            assert (sent(SENDERS, "m1"), sent(NEW_SENDERS, "m1")) == ((200, True), (200, True))
            put(new)
            until_said(f'"changed":["{name}"]', times=2)
            assert (sent(SENDERS, "m1"), sent(NEW_SENDERS, "m1")) == ((401, False), (200, True))
            service.stop()
    assert leaked("\n".join((*service.output, *answers)), secrets) == []
    assert len(exported(tmp_path / "data")) == 1


async def test_a_store_that_goes_away_or_lets_nobody_in_is_told_of_without_its_password(tmp_path: Path) -> None:
    with postgresql.running() as cluster:
        cluster.execute(f"CREATE ROLE marked SUPERUSER LOGIN PASSWORD '{PASSWORD}'")
        rules = cluster.folder / "data" / "pg_hba.conf"
        rules.write_text("host all marked 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
        cluster.execute("SELECT pg_reload_conf()")
        place = f"127.0.0.1:{cluster.port}/{cluster.database()}"
        keys = {**own_keys(tmp_path), "TAI_DATA_DIR": str(tmp_path)}
        wrong = {**keys, "STORE_URL": f"postgresql://marked:{QUOTED}x@{place}"}
        for command in (("doctor",), ("serve", "--port", "0"), ("backup",)):
            said = tai(wrong, *command)
            assert "password authentication failed" in said
            assert leaked(said, SECRETS) == []
        right = {"STORE_URL": f"postgresql://marked:{QUOTED}@{place}", "LOG_LEVEL": "debug"}
        with Service(tmp_path, environ=right) as service:
            everything = Everything(service)
            said = tai({**keys, **right}, "backup", "--backups", str(tmp_path / "backups"))
            assert leaked(said, SECRETS) == []
            async with httpx.AsyncClient(base_url=service.url, timeout=30) as client:
                client.headers["Authorization"] = f"Bearer {service.admin_token}"
                await drive(everything, client)
                cluster.stop("immediate")
                try:
                    grant = {"tenant_id": "bob", "entitlement_id": "e", "action": "grant", "plan": "free"}
                    await asyncio.gather(
                        everything.ask(client, "POST", "/marketplace", json=grant),
                        everything.ask(client, "GET", "/v1/tenants/bob"),
                        everything.ask(client, "GET", "/health"),
                        everything.ask(client, "GET", "/metrics"),
                    )
                finally:
                    cluster.start()
            service.stop()
        assert any(answer.startswith("503") for answer in everything.answers)
        assert everything.leaked() == []
