"""SIGTERM reaches the process: under load it is gone in eight seconds, and nothing that it answered is lost."""

import asyncio
import itertools
import json
import re
import signal
from collections.abc import Iterator
from typing import Final

import httpx
import pytest
from tests.engines.containers import IMAGE, Container, asked, image, said
from tests.journey.image.conftest import HARDENED
from tests.journey.standstill import until

from tai_autonomics.ledger.chain import verify

pytestmark = [pytest.mark.embedded, pytest.mark.long]

TENANTS: Final = [f"tenant-{number}" for number in range(8)]
SENDERS: Final = 32
ANSWERED_BEFORE_THE_SIGNAL: Final = 2_000
STOP_SECONDS_MAX: Final = 8.0
MEMORY_MAX: Final = 512 * 2**20


@pytest.fixture
def volume() -> Iterator[str]:
    name = said("volume", "create")
    yield name
    asked("volume", "rm", "--force", name)


class Load:
    """Consumes without end; the hash of each answered command by its key."""

    def __init__(self, container: Container, token: str) -> None:
        self.answered: dict[str, str] = {}
        self.enough = asyncio.Event()
        self._container, self._token = container, token
        self._keys = itertools.count()

    async def send(self) -> None:
        """Until the service says that it stops, or is gone."""
        headers = {"Authorization": f"Bearer {self._token}"}
        async with httpx.AsyncClient(base_url=self._container.url, headers=headers, timeout=30) as client:
            while True:
                key = f"k{next(self._keys)}"
                body = {"operation": "consume", "quota": "api_calls", "amount": 1, "request_id": key}
                tenant = TENANTS[hash(key) % len(TENANTS)]
                try:
                    reply = await client.post(f"/v1/tenants/{tenant}/usage", json=body)
                except httpx.HTTPError:
                    return
                if reply.status_code == 503:
                    return
                assert reply.status_code == 200, reply.text
                self.answered[key] = reply.json()["hash"]
                if len(self.answered) >= ANSWERED_BEFORE_THE_SIGNAL:
                    self.enough.set()


async def stopped_under(load: Load, container: Container) -> tuple[float, int]:
    """The seconds that it took, and the most memory that it had until then, in bytes."""
    async with asyncio.TaskGroup() as sending:
        for _ in range(SENDERS):
            sending.create_task(load.send())
        await load.enough.wait()
        status = await asyncio.to_thread(container.output, "cat", "/proc/1/status")
        peak = int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024
        return await asyncio.to_thread(container.stop), peak


def test_under_load_it_stops_in_time_within_its_memory_and_loses_nothing_that_it_answered(volume: str) -> None:
    with Container(*HARDENED, f"--volume={volume}:/data") as container:
        with container.client() as client:
            for tenant in TENANTS:
                grant = {"tenant_id": tenant, "entitlement_id": "ent_1", "action": "grant", "plan": "enterprise"}
                assert client.post("/marketplace", json=grant).status_code == 200
            load = Load(container, container.output("cat", "/data/admin.token"))
        seconds, peak = asyncio.run(stopped_under(load, container))
        state = container.state()
    print(f"stopped under load in {seconds:.2f} s, after {len(load.answered)} answers, at most {peak / 2**20:.0f} MiB")
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
    assert seconds < STOP_SECONDS_MAX
    assert peak < MEMORY_MAX / 2

    exported = asked("run", "--rm", f"--volume={volume}:/data", IMAGE, "receipts", "export").stdout
    lines = exported.splitlines()
    assert len(verify(lines, {})) == len(TENANTS)
    receipts = [line for line in map(json.loads, lines) if "receipt" in line]
    stored = {each["receipt"]["cause"]["id"].rpartition(":")[2]: each["hash"] for each in receipts}
    assert len(load.answered) >= ANSWERED_BEFORE_THE_SIGNAL
    assert {key: stored.get(key) for key in load.answered} == load.answered


def test_before_it_serves_sigterm_ends_it_too() -> None:
    image()
    name = said("create", "--interactive", IMAGE, "receipts", "verify", "-")
    try:
        said("start", name)
        until(lambda: catches(name, signal.SIGTERM), what="SIGTERM has a handler")
        said("stop", "-t", "20", name)
        assert json.loads(said("container", "inspect", name))[0]["State"]["ExitCode"] == 128 + signal.SIGTERM
    finally:
        asked("rm", "--force", "--volumes", name)


def catches(name: str, number: signal.Signals) -> bool:
    mask = re.search(r"SigCgt:\s+(\w+)", said("exec", name, "cat", "/proc/1/status"))
    return mask is not None and bool(int(mask[1], 16) >> number - 1 & 1)
