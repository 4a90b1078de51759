"""
A flood of 2,000 bad requests a second beside good ones: each is refused as documented, each good one is answered.
And a flood of one caller's good requests: it is held to its rate, and no other is.

How long the good ones then take is measured on a quiet machine (`python -m benchmarks FLOOD`), and printed here.
"""

import json
from collections import Counter
from itertools import cycle
from pathlib import Path
from typing import Final

import pytest
from benchmarks.flood import BAD_PER_SECOND, VICTIM, BadStream, bad_requests
from benchmarks.openloop import Stream, drive, orders
from tests.journey.callers import token
from tests.journey.ledgers import exported, quarantined
from tests.journey.service import Service
from tests.sizes import size

SECONDS: Final = size(short=2, full=60)
GOOD_PER_SECOND: Final = 200.0
CALLER_PER_SECOND: Final = 100
CALLER_BURST: Final = 50
REST_SECONDS: Final = 0.001
"""The load leaves its core to the service while nothing arrives."""


@pytest.mark.embedded
@pytest.mark.full
@pytest.mark.timeout(SECONDS * 2 + 120)
def test_a_flood_of_bad_requests_is_refused_and_the_good_ones_are_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tenants = [f"tenant-{number}" for number in range(20)]
    with Service(tmp_path) as service, service.client() as client:
        for tenant in tenants:
            grant = {"tenant_id": tenant, "entitlement_id": "ent_1", "action": "grant", "plan": "professional"}
            assert client.post("/marketplace", json=grant).status_code == 200
        port = int(service.url.rpartition(":")[2])
        probe = cycle([b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"])
        good = Stream(
            orders(tenants, service.admin_token, "flood"),
            rate=GOOD_PER_SECOND,
            seconds=SECONDS,
            connections=64,
            port=port,
        )
        health = Stream(probe, rate=50.0, seconds=SECONDS, connections=4, port=port)
        bad = BadStream(bad_requests(tmp_path), rate=BAD_PER_SECOND, seconds=SECONDS, port=port)
        elapsed = drive([good, health, bad], SECONDS, rest_seconds=REST_SECONDS)
        for stream in (good, health, bad):
            stream.close()
        assert client.get("/health").json()["status"] == "ok"
    seen = {name: stream.observed(elapsed) for name, stream in {"good": good, "health": health, "bad": bad}.items()}
    with capsys.disabled():
        print("".join(f"\n  {name}: {each}" for name, each in seen.items()))
    assert {name: (each.errors, each.unanswered) for name, each in seen.items()} == dict.fromkeys(seen, (0, 0))
    assert bad.statuses == bad.expected
    stored = [json.loads(line) for line in exported(tmp_path)]
    assert VICTIM not in {line.get("receipt", {}).get("tenant") for line in stored}
    assert sum("receipt" in line for line in stored) == len(tenants) + good.count
    assert quarantined(tmp_path) == []


class Checks(Stream):
    """One caller's checks, each let in or told to come back."""

    def __init__(self, token: str, tenants: list[str], *, rate: float, port: int) -> None:
        asked = [
            f"POST /v1/tenants/{tenant}/check HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
            "Content-Length: 2\r\n\r\n{}"
            for tenant in tenants
        ]
        requests = cycle([each.encode() for each in asked])
        super().__init__(requests, rate=rate, seconds=SECONDS, connections=32, port=port)
        self.statuses: Counter[int] = Counter()

    def is_good(self, reply: bytes) -> bool:
        self.statuses[int(reply[9:12])] += 1
        return reply.startswith(b"HTTP/1.1 200") or b'\r\nratelimit: "caller";r=0;t=1\r\n' in reply


@pytest.mark.embedded
@pytest.mark.full
@pytest.mark.timeout(SECONDS * 2 + 120)
def test_a_caller_that_floods_is_held_to_its_rate_over_all_its_tenants_and_another_is_not(tmp_path: Path) -> None:
    tenants = [f"tenant-{number}" for number in range(50)]
    environ = {"TAI_CALLER_RATE_PER_SECOND": str(CALLER_PER_SECOND), "TAI_CALLER_BURST": str(CALLER_BURST)}
    with Service(tmp_path, environ=environ) as service:
        port = int(service.url.rpartition(":")[2])
        quiet = Checks(token(service, "viewer", subject="quiet"), tenants, rate=CALLER_PER_SECOND / 2, port=port)
        noisy = Checks(token(service, "viewer", subject="noisy"), tenants, rate=CALLER_PER_SECOND * 10, port=port)
        elapsed = drive([quiet, noisy], SECONDS, rest_seconds=REST_SECONDS)
        for stream in (quiet, noisy):
            stream.close()
        seen = [(each.errors, each.unanswered) for each in (quiet.observed(elapsed), noisy.observed(elapsed))]
        with service.client() as client:
            assert client.get("/health").json()["status"] == "ok"
    assert seen == [(0, 0)] * 2
    assert quiet.statuses == {200: quiet.count}
    assert noisy.statuses.keys() == {200, 429}
    assert noisy.statuses[200] <= CALLER_BURST + CALLER_PER_SECOND * elapsed + 1
    assert noisy.statuses[200] >= CALLER_PER_SECOND * SECONDS / 2
