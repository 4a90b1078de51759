"""What a service does after a crash, on new plans, beside another process, and on a disk that takes nothing more."""

import io
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from tests.journey.callers import connect, post
from tests.journey.ledgers import exported
from tests.journey.service import Service
from tests.journey.standstill import held, repeated, until, until_waiting
from tests.journey.stores import STORE

from tai_autonomics.ledger.chain import verify
from tai_autonomics.policy.file import load

PLANS: Final = """plans:
  silver:
    rank: 1
    features: [health]
    quotas:
      calls: {{limit: {silver}, per: lifetime, kind: hard}}
    on_stale: deny
"""
RULE: Final = """    governor:
      budget: {{max: 5, per: 1h}}
      rules:
        - {{name: cpu-high, signal: cpu, over: 3 samples, cooldown: 10m, action: entitlement.suspend, mode: shadow,
           act_when: {act_when}, clear_when: window.avg < 50.0}}
"""
GOLD: Final = """  gold:
    rank: 2
    features: [health, export]
    quotas:
      calls: {limit: 3, per: lifetime, kind: hard}
    on_stale: deny
"""


def command(client: httpx.Client, action: str, *, tenant: str = "acme", **members: object) -> httpx.Response:
    return client.post(
        "/marketplace", json={"tenant_id": tenant, "entitlement_id": "ent_1", "action": action, **members}
    )


def consume(client: httpx.Client, key: str, *, quota: str = "calls", tenant: str = "acme") -> httpx.Response:
    item = {"operation": "consume", "quota": quota, "amount": 1, "request_id": key}
    return client.post(f"/v1/tenants/{tenant}/usage", json=item)


def push(client: httpx.Client, message: str) -> httpx.Response:
    """A message that nobody can decide, so that it is quarantined."""
    return client.post("/pubsub", json={"message": {"data": "e30=", "messageId": message}, "subscription": "s"})


def receipts(client: httpx.Client, tenant: str) -> list[dict[str, Any]]:
    items = client.get(f"/v1/tenants/{tenant}/receipts").json().get("items", [])
    return [item["receipt"] for item in items]


# ---- after a crash


def test_timers_that_came_due_while_it_was_down_are_decided_before_anything_else(tmp_path: Path) -> None:
    service = Service(tmp_path, environ={"TAI_TIMER_POLL_SECONDS": "0.1"}).start()
    with service.client() as client:
        due = datetime.now(UTC) + timedelta(seconds=1)
        for tenant in ("called", "idle"):
            granted = command(client, "grant", tenant=tenant, plan="free", expires_at=due.isoformat())
            assert granted.status_code == 200
    service.kill()
    until(lambda: datetime.now(UTC) > due, what="the entitlements are over")
    with service, service.client() as client:
        assert command(client, "verify", tenant="called").json()["reason"] == "entitlement_inactive"
        until(lambda: len(receipts(client, "idle")) == 2, what="the timer of a tenant that nobody calls")
        called, idle = receipts(client, "called"), receipts(client, "idle")
    assert [each["cause"]["kind"] for each in called] == ["marketplace", "timer", "marketplace"]
    assert [each["cause"]["kind"] for each in idle] == ["marketplace", "timer"]
    for timer in (called[1], idle[1]):
        assert timer["events"][0]["type"] == "EntitlementExpired"
        assert timer["time"] > due.strftime("%Y-%m-%dT%H:%M:%S")
    verify(exported(tmp_path), {})


def test_a_command_that_the_crash_met_in_flight_is_decided_once_when_it_is_repeated(tmp_path: Path) -> None:
    service = Service(tmp_path).start()
    with service.client() as client:
        assert command(client, "grant", plan="free").status_code == 200
        with held(service), connect(service) as connection:
            body = b'{"operation":"consume","quota":"api_calls","amount":1}'
            connection.sendall(post(service, "/v1/tenants/acme/usage", body, "idempotency-key: crash"))
            until_waiting(client, 1)
            service.kill()
    with service, service.client() as client:
        stored = len(receipts(client, "acme"))
        # The embedded store dies with the process; a server may still carry out what it was sent.
        assert stored == 1 if STORE == "sqlite" else stored in (1, 2)
        first, again = (consume(client, "crash", quota="api_calls") for _ in range(2))
        assert (first.status_code, first.json()["receipt"]["events"][0]["used"]) == (200, 1)
        assert ("idempotent-replayed" in first.headers) == (stored == 2)
        assert len(receipts(client, "acme")) == 2
        assert (again.headers["idempotent-replayed"], again.content) == ("true", first.content)
    verify(exported(tmp_path), {})


# ---- new plans


@contextmanager
def with_plans(tmp_path: Path, text: str) -> Iterator[tuple[Service, Path]]:
    file = tmp_path / "plans.yaml"
    file.write_text(text)
    with Service(tmp_path / "data", environ={"PLANS_FILE": str(file)}) as service:
        yield service, file


def read_again(service: Service) -> None:
    """Tell it to read its plans file, and wait for its word on that."""
    said = len(service.output)
    os.kill(service.pid, signal.SIGHUP)
    until(
        lambda: any('"plans"' in line or "plans file was read again" in line for line in service.output[said:]),
        what="a log line about the plans file",
    )


def limit(client: httpx.Client) -> int:
    answer = client.post("/v1/tenants/acme/check", json={"quota": "calls"}).json()
    found: int = answer["results"][0]["limits"]["calls"]["limit"]
    return found


def test_sighup_puts_a_good_plans_file_in_force_and_leaves_the_old_one_where_it_is_bad(tmp_path: Path) -> None:
    old, new = PLANS.format(silver=5), PLANS.format(silver=7)
    with with_plans(tmp_path, old) as (service, file), service.client() as client:
        first = command(client, "grant", plan="silver").json()["receipt"]
        assert (first["policy"], limit(client)) == (load(old.encode(), name="old").digest, 5)

        file.write_text(new.replace("limit: 7", "limit: seven") + RULE.format(act_when="window.avg > 80"))
        read_again(service)
        assert limit(client) == 5
        told = [line for line in service.output if '"severity":"ERROR"' in line]
        assert len(told) == 1
        assert f"{file}:6" in told[0], "the line of the file that is wrong"
        assert f"{file}:12: plan silver: rule cpu-high: act_when: column 12: > does not take (double, int)" in told[0]
        assert client.get("/health").status_code == 200

        file.unlink()
        read_again_quietly(service, client)
        assert limit(client) == 5

        new += RULE.format(act_when="window.avg > 80.0")
        file.write_text(new)
        read_again(service)
        assert limit(client) == 7
        assert "".join(service.output).count("the plans file was read again") == 1
        second = command(client, "verify").json()["receipt"]
        assert second["policy"] == load(new.encode(), name="new").digest
        for receipt, text in ((first, old), (second, new)):
            assert client.get(f"/v1/policies/{receipt['policy']}").text == text


def read_again_quietly(service: Service, client: httpx.Client) -> None:
    """The same where the log may keep silent, because it has just told of such an error: the metric counts it."""
    counted = failures(client)
    os.kill(service.pid, signal.SIGHUP)
    until(lambda: failures(client) > counted, what="another failure is counted")


def failures(client: httpx.Client) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("tai_background_failures_total{"))


def test_a_plan_that_the_file_no_longer_has_still_counts_and_is_not_granted_anew(tmp_path: Path) -> None:
    with with_plans(tmp_path, PLANS.format(silver=1) + GOLD) as (service, file), service.client() as client:
        assert command(client, "grant", plan="gold").status_code == 200
        assert consume(client, "1").status_code == 200
        assert "retired_plans" not in client.get("/health").json()
        file.write_text(PLANS.format(silver=1))
        read_again(service)
        assert client.get("/health").json()["retired_plans"] == ["gold"]
        still_counts(client, "2")
        assert service.stop() == 0
        service.start()
        with service.client() as after:
            still_counts(after, "3")
            over = consume(after, "4")
            assert (over.status_code, over.json()["reason"]) == (429, "quota_exceeded")
    verify(exported(tmp_path / "data"), {})


def still_counts(client: httpx.Client, key: str) -> None:
    """acme holds gold, whose limit is 3; nobody else gets it."""
    assert limit(client) == 3
    assert client.post("/v1/tenants/acme/check", json={"feature": "export"}).json()["allowed"] is True
    assert consume(client, key).status_code == 200
    other = command(client, "grant", tenant=f"other-{key}", plan="gold")
    assert (other.status_code, other.json()["reason"]) == (422, "unknown_plan")


# ---- two processes


@pytest.mark.embedded
def test_a_second_process_on_the_same_data_is_refused_in_one_clear_line(tmp_path: Path) -> None:
    serve = [sys.executable, "-m", "tai_autonomics", "serve", "--port", "0", "--host", "127.0.0.1"]
    with Service(tmp_path) as service, service.client() as client:
        token = service.admin_token
        second = subprocess.run(
            [*serve, "--data-dir", tmp_path],
            capture_output=True,
            text=True,
            timeout=30,
            env={**os.environ, "TAI_METRICS_ADDRESS": "off"},
            check=False,
        )
        assert second.returncode == 69
        assert second.stdout == ""
        assert second.stderr.count("\n") == 1
        assert f"pid {service.pid}" in second.stderr
        assert str(tmp_path / "tai.db") in second.stderr
        assert service.admin_token == token
        assert command(client, "grant", plan="free").status_code == 200


# ---- a disk that takes nothing more


@contextmanager
def nothing_can_be_written(service: Service) -> Iterator[None]:
    """Every write of the process to a file fails, as on a disk whose quota is used up."""
    _, hard = resource.prlimit(service.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """The file system that holds `folder` has no byte left, also when the store gives some back meanwhile."""
    filler, ended = folder / "filler", threading.Event()

    def fill(file: io.FileIO) -> None:
        for bytes_at_once in (65_536, 1):
            with suppress(OSError):
                while file.write(b"x" * bytes_at_once) == bytes_at_once:
                    pass

    def keep_full(file: io.FileIO) -> None:
        while not ended.wait(0.001):
            fill(file)

    with filler.open("wb", buffering=0) as file:
        fill(file)
        assert shutil.disk_usage(folder).free == 0
        filling = threading.Thread(target=keep_full, args=(file,))
        filling.start()
        try:
            yield
        finally:
            ended.set()
            filling.join()
            filler.unlink()


@contextmanager
def disk(folder: Path, *, mebibytes: int) -> Iterator[Path]:
    """A file system of that size; without the right to mount one, the test is skipped."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip('needs a small file system: run it with sudo env "PATH=$PATH" make test')
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with disk(tmp_path / "small", mebibytes=4) as folder:
        yield folder


ROOM_MAX = 1_000  # commits that a small disk's files can still take in the pages that they already have


def refused(attempt: Callable[[str], httpx.Response], kept: dict[str, httpx.Response], *, times: int) -> list[str]:
    """The keys that got 503. A full disk still takes what fits into the file's own free pages: those are `kept`."""
    without_room: list[str] = []
    for number in range(ROOM_MAX):
        key = f"k{number}"
        answer = attempt(key)
        if answer.status_code == 200:
            kept[key] = answer
            continue
        assert answer.status_code == 503, answer.text
        assert answer.json()["reason"] in ("store_unavailable", "outcome_unknown")
        assert int(answer.headers["retry-after"]) >= 1
        without_room.append(key)
        if len(without_room) == times:
            return without_room
    pytest.fail(f"{ROOM_MAX} writes were taken")


def fails_and_recovers(service: Service, spoil: Callable[[], Any]) -> None:
    """While nothing can be written: 503, reads go on, /health says so. Then everything goes on, without a restart."""
    with service.client() as client:
        granted = command(client, "grant", plan="free")
        assert granted.status_code == 200
        kept: dict[str, httpx.Response] = {}
        with spoil():
            lost = refused(partial(consume, client, quota="api_calls"), kept, times=3)
            check = client.post("/v1/tenants/acme/check", json={"entitlement_id": "ent_1", "quota": "api_calls"})
            assert check.json()["allowed"] is True
            last = [granted, *kept.values()][-1].json()
            assert client.get("/v1/tenants/acme/receipts/head").json()["hash"] == last["hash"]
            (unkept,) = refused(partial(push, client), {}, times=1)
            until(lambda: client.get("/health").status_code == 503, what="/health says that the store is ill")
            assert client.get("/health/live").status_code == 200
        until(lambda: client.get("/health").status_code == 200, what="/health says that it is well")
        again = {key: repeated(partial(consume, client, key, quota="api_calls")).json() for key in [*kept, *lost]}
        used = sorted(each["receipt"]["events"][0]["used"] for each in again.values())
        assert used == list(range(1, len(again) + 1))
        assert {key: again[key]["hash"] for key in kept} == {key: answer.json()["hash"] for key, answer in kept.items()}
        assert repeated(partial(consume, client, lost[0], quota="api_calls")).json() == again[lost[0]]
        assert repeated(partial(push, client, unkept)).status_code == 200


@pytest.mark.embedded
def test_while_nothing_can_be_written_it_answers_503_and_then_goes_on_without_a_restart(tmp_path: Path) -> None:
    with Service(tmp_path, environ={"TAI_REQUEST_SECONDS_MAX": "1"}) as service:
        fails_and_recovers(service, lambda: nothing_can_be_written(service))
    verify(exported(tmp_path), {})


@pytest.mark.embedded
def test_on_a_full_disk_it_answers_503_and_goes_on_when_there_is_room_again(small_disk: Path) -> None:
    with Service(small_disk / "data", environ={"TAI_REQUEST_SECONDS_MAX": "1"}) as service:
        fails_and_recovers(service, lambda: full(small_disk))
    verify(exported(small_disk / "data"), {})
