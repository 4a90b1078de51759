"""A container serves as nobody in particular: other user, root that nobody writes, 512 MiB, settings by environment."""

import asyncio
import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
from tests.engines import firestore
from tests.engines.containers import IMAGE, ROOT, Container, answers, asked, health_check, image, run
from tests.engines.ports import free_port
from tests.journey.image.conftest import HARDENED
from tests.journey.standstill import until
from tests.journey.test_pubsub import envelope
from tests.journey.tokens import ISSUER, minted

from tai_autonomics.identity.keys import KEY_FILE, TOKEN_FILE

pytestmark = [pytest.mark.embedded, pytest.mark.long]

GRANT: Final = {"tenant_id": "acme", "entitlement_id": "ent_1", "action": "grant", "plan": "professional"}
DOCUMENTED: Final = [
    call.strip() for call in re.findall(r"^(docker [^#\n]*)", (ROOT / "README.md").read_text(), re.MULTILINE)
]
START_SECONDS_MAX: Final = 2.0


@pytest.fixture
def client(container: Container) -> Iterator[httpx.Client]:
    with container.client() as made:
        yield made


def test_the_readmes_commands_run_it_give_its_token_and_show_its_log() -> None:
    image()
    build, look, keep, *then = DOCUMENTED
    assert build == f"docker build -f container/Containerfile -t {shlex.split(look)[-1]} ."
    assert look == "docker run -p 8080:8080 tai-autonomics:latest"
    name = f"tai-test-{os.getpid()}"
    for start in (look.replace(" run", f" run --detach --name {name}"), keep):
        port = free_port()
        try:
            documented(start, name=name, port=port)
            answers(port, within_seconds=30)
            token, log = (documented(each, name=name, port=port) for each in then)
            headers = {"Authorization": f"Bearer {token.strip()}"}
            granted = httpx.post(f"http://127.0.0.1:{port}/marketplace", json=GRANT, headers=headers)
            assert granted.status_code == 200
            assert '"listening"' in log
        finally:
            asked("rm", "--force", "--volumes", name)
            asked("volume", "rm", "--force", f"{name}-data")


def documented(call: str, *, name: str, port: int) -> str:
    """A call of the README, of this engine, image and port, and of a name that nobody has."""
    words = shlex.split(call)[1:]
    said_as = {"tai": name, "tai-data:/data": f"{name}-data:/data", "8080:8080": f"127.0.0.1:{port}:8080"}
    done = asked(*(said_as.get(word, word).replace("tai-autonomics:latest", IMAGE) for word in words))
    assert done.returncode == 0, done.stderr.decode()
    return (done.stdout + done.stderr).decode()


def test_it_answers_in_less_than_two_seconds(container: Container) -> None:
    print(f"from the process's start to 200 on /health: {container.start_seconds:.2f} s")
    assert container.start_seconds < START_SECONDS_MAX


def test_its_process_is_another_user_without_rights_or_a_root_to_write(container: Container) -> None:
    status = dict(re.findall(r"^(\w+):\s+(.*)$", container.output("cat", "/proc/1/status"), re.MULTILINE))
    assert set(status["Uid"].split() + status["Gid"].split()) == {"65532"}
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    (_, *command) = container.output("cat", "/proc/1/cmdline").rstrip("\0").split("\0")
    assert command == ["/opt/tai-autonomics/bin/tai-autonomics", "serve"], "no shell stands before it"
    for place in ("/opt/tai-autonomics/x", "/etc/x", "/usr/x"):
        assert b"Read-only" in container.executed("touch", place).stderr
    assert container.executed("touch", "/data/x").returncode == 0
    for secret in (KEY_FILE, TOKEN_FILE):
        assert container.output("stat", "-c", "%a %u", f"/data/{secret}") == "600 65532"


def test_good_calls_are_answered_200(client: httpx.Client) -> None:
    assert client.get("/health").json()["status"] == "ok"
    assert client.get("/health/live").status_code == 200
    assert client.post("/marketplace", json=GRANT).status_code == 200
    pushed = client.post("/pubsub", json=envelope({"tenant_id": "acme", "entitlement_id": "ent_1"}, "1"))
    assert [each["status"] for each in pushed.json()["items"]] == [200]
    assert pushed.status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"),
    [
        ("/marketplace", b"{", 400, "malformed_request"),
        ("/marketplace", json.dumps({**GRANT, "action": "gain"}).encode(), 400, "unknown_action"),
        ("/marketplace", json.dumps({**GRANT, "tenant_id": "other", "plan": "golden"}).encode(), 422, "unknown_plan"),
        ("/marketplace", json.dumps({**GRANT, "plan": None}).encode(), 400, "malformed_request"),
        ("/pubsub", b"{", 400, "malformed_envelope"),
        ("/pubsub", b"{}", 400, "malformed_envelope"),
    ],
)
def test_bad_calls_are_problems_with_their_status(
    client: httpx.Client, path: str, body: bytes, status: int, reason: str
) -> None:
    answer = client.post(path, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


@pytest.mark.parametrize("path", ["/marketplace", "/pubsub"])
def test_nobody_is_let_in_without_a_token(container: Container, path: str) -> None:
    with container.client(token="") as stranger:
        assert stranger.post(path, json=GRANT).status_code == 401
        assert stranger.get("/health").status_code == 200


def test_its_log_is_lines_of_json_that_the_engine_keeps(container: Container, client: httpx.Client) -> None:
    client.get("/v1/tenants/nobody", headers={"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"})
    trace = f"projects/acme-prod/traces/{'ab' * 16}"
    until(lambda: trace in container.log(), what="the request's line, with its trace in GCP_PROJECT_ID")
    lines = [json.loads(line) for line in container.log().splitlines()]
    assert all(line.keys() >= {"severity", "time", "message"} for line in lines)
    assert [line["url"] for line in lines if line["message"] == "listening"] == ["http://0.0.0.0:8080"]
    assert [line["tenant"] for line in lines if line.get("logging.googleapis.com/trace") == trace] == ["nobody"]


def test_its_health_check_says_yes_and_for_a_service_that_is_not_there_no(container: Container) -> None:
    assert container.executed(*health_check()).returncode == 0
    assert asked("exec", "--env=PORT=8081", container.name, *health_check()).returncode == 1


def test_it_listens_where_port_says() -> None:
    with Container(on_host=True) as container:
        assert httpx.get(f"{container.url}/health").status_code == 200


def test_on_a_shared_store_it_makes_up_no_keys_and_names_what_is_missing() -> None:
    done = run("serve", options=["--env=STORE_URL=firestore://", "--env=GCP_PROJECT_ID=acme-prod"])
    assert done.returncode == 78
    for name in (b"JWT_KEYS", b"JWT_ISSUER", b"JWT_AUDIENCE"):
        assert name in done.stderr
    embedded = run("serve", options=["--env=K_SERVICE=tai-autonomics"])
    assert embedded.returncode == 78
    assert b"STORE_URL" in embedded.stderr


async def has_answered() -> None:
    """The emulator, all that a start asks: a Java process that has just begun takes seconds for its first answers."""
    store = await firestore.open_store()
    try:
        await store.newest_policy()
        await store.keep_policy("0" * 64, b"plans: {}", "2026-11-30T00:00:00.000000Z")
        await store.probe()
    finally:
        await store.aclose()


def test_on_firestore_it_serves_by_its_environment(tmp_path: Path) -> None:
    asyncio.run(has_answered())
    project = firestore.new_project()
    token = minted(tmp_path, "admin")
    (tmp_path / KEY_FILE).chmod(0o444)
    environ = {
        "STORE_URL": "firestore://",
        "GCP_PROJECT_ID": project,
        "FIRESTORE_DATABASE": "entitlements",
        "FIRESTORE_COLLECTION": "sealed",
        "FIRESTORE_EMULATOR_HOST": firestore.emulator().address,
        "JWT_KEYS": "/run/secrets/key",
        "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": ISSUER,
    }
    mounted = f"--volume={tmp_path / KEY_FILE}:/run/secrets/key:ro"
    with Container(*HARDENED, mounted, on_host=True, environ=environ) as container:
        print(f"on Firestore, from the process's start to 200 on /health: {container.start_seconds:.2f} s")
        assert container.start_seconds < START_SECONDS_MAX
        with container.client(token) as client:
            granted = client.post("/marketplace", json=GRANT)
            assert granted.status_code == 200
            assert client.get("/v1/tenants/acme/receipts/head").json()["hash"] == granted.json()["hash"]
    documents = httpx.post(
        f"http://{environ['FIRESTORE_EMULATOR_HOST']}/v1/projects/{project}/databases/entitlements/documents:runQuery",
        json={"structuredQuery": {"from": [{"collectionId": "sealed", "allDescendants": True}]}},
        headers={"Authorization": "Bearer owner"},
    ).json()
    assert len([each for each in documents if "document" in each]) >= 1
