"""
Full-speed load on a server: wrk over a fixed number of connections, pinned to the load's core.

    token file, tenants file -> prime (every tenant's first grant) -> wrk with a Lua script -> Load
"""

import subprocess
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from benchmarks.measure import HERE
from benchmarks.servers import LOAD_CORE, Server, pinned
from benchmarks.tenants import TenantsFile, name_of, start_of

CONNECTIONS: Final = 64
PLAN: Final = "professional"


class FailedRequests(RuntimeError):
    """Some requests of a load did not end well, so that its figures mean nothing."""


class Load(Struct, frozen=True):
    """What one run of wrk saw. Its latencies are those of a closed loop: they leave out what the waiting held back."""

    requests: int
    microseconds: int
    errors: int
    p50_us: int
    p99_us: int
    max_us: int

    @property
    def per_second(self) -> float:
        return self.requests * 1_000_000 / self.microseconds

    def __str__(self) -> str:
        return f"{self.per_second:,.0f} requests/s, p50 {self.p50_us / 1e3:.1f} ms, p99 {self.p99_us / 1e3:.1f} ms"


def order_load(server: Server, tenants: TenantsFile, *, run: str, seconds: int) -> Load:
    """The mix of POST /marketplace. `run` makes its idempotency keys and fresh entitlements its own."""
    return _wrk("order.lua", server, tenants.path, run, seconds)


def check_load(server: Server, tenants: TenantsFile, *, run: str, seconds: int) -> Load:
    """Checks of one entitlement, feature and quota."""
    return _wrk("check.lua", server, tenants.path, run, seconds)


def prime(server: Server, tenants: TenantsFile) -> int:
    """Grant every tenant its first entitlement and verify one; answers how many bytes that last reply's body has."""
    first = {"entitlement_id": "ent_1", "action": "grant", "plan": PLAN}
    verify = {"tenant_id": name_of(0), "entitlement_id": "ent_1", "action": "verify"}
    return _post(server, "/marketplace", [*({"tenant_id": name, **first} for name in tenants.names()), verify])


def check_reply_bytes(server: Server) -> int:
    question = {"entitlement_id": "ent_1", "feature": "health", "quota": "api_calls"}
    return _post(server, f"/v1/tenants/{name_of(0)}/check", [question])


def _post(server: Server, path: str, bodies: list[dict[str, str]]) -> int:
    """Post the bodies one after another, each of which must be answered 200; the length of the last reply's body."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {
        "Authorization": f"Bearer {server.token_file.read_text().strip()}",
        "Content-Type": "application/json",
    }
    reply = b""
    for number, body in enumerate(bodies):
        connection.request("POST", path, msgspec.json.encode(body), {**headers, "Idempotency-Key": f"prime-{number}"})
        response = connection.getresponse()
        reply = response.read()
        if response.status != 200:
            raise FailedRequests(f"{response.status} {reply.decode()}")
    connection.close()
    return len(reply)


def _wrk(script: str, server: Server, tenants: Path, run: str, seconds: int) -> Load:
    done = subprocess.run(
        [
            *pinned(LOAD_CORE),
            *("wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s"),
            *("--timeout", "10s", "--script", str(HERE / "wrk" / script), f"http://127.0.0.1:{server.port}"),
            *("--", str(server.token_file), str(tenants), str(start_of(run)), run),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 60,
    )
    load = msgspec.json.decode(done.stdout.splitlines()[-1], type=Load)
    if load.errors or not load.requests:
        raise FailedRequests(f"{load.errors} of {load.requests} requests failed under {script}:\n{done.stdout}")
    return load
