"""What a started service does at its limits, and when it is told to stop: nothing that was answered is lost."""

import asyncio
import itertools
import json
import os
import select
import signal
import socket
import struct
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx
import pytest
from tests.journey.callers import connect, post, read_to_the_end, say
from tests.journey.ledgers import exported
from tests.journey.service import Service
from tests.journey.standstill import held, until, until_waiting

from tai_autonomics.ledger.chain import verify

STOP_SECONDS_MAX: Final = 8
RESET: Final = struct.pack("ii", 1, 0)
"""Closing sends a reset, as a caller's crash would."""
VERIFY: Final = b'{"tenant_id":"acme","entitlement_id":"ent_1"}'


def verify_in(pool: ThreadPoolExecutor, service: Service, tenant: str, key: str) -> "Future[httpx.Response]":
    """A command from a thread of its own."""

    def send() -> httpx.Response:
        body = {"tenant_id": tenant, "entitlement_id": "ent_1", "request_id": key}
        with service.client() as client:
            return client.post("/marketplace", json=body)

    return pool.submit(send)


# ---- headers and bodies


@pytest.mark.parametrize(
    "header",
    [
        b"x: " + b"a" * 17_000 + b"\r\n",
        b"".join(b"x-%d: %s\r\n" % (number, b"a" * 1_000) for number in range(17)),
        b"x: y\r\n" * 4_000,
        b"x: " + b"a" * 4_000_000,
    ],
    ids=["one long", "many", "thousands of short ones", "megabytes without an end"],
)
def test_a_header_over_sixteen_kilobytes_is_a_431(tmp_path: Path, header: bytes) -> None:
    with Service(tmp_path) as service:
        with connect(service) as connection:
            try:
                connection.sendall(b"GET /v1/tenants HTTP/1.1\r\nhost: x\r\n" + header + b"\r\n\r\n")
            except (BrokenPipeError, ConnectionResetError):
                assert len(header) > 1_000_000
            answer = read_to_the_end(connection)
        assert answer.startswith(b"HTTP/1.1 431 ") or (answer == b"" and len(header) > 1_000_000)
        if answer:
            problem = json.loads(answer.partition(b"\r\n\r\n")[2])
            assert (problem["status"], problem["reason"]) == (431, "headers_too_large")
        with service.client() as client:
            assert client.get("/v1/tenants", headers={"x": "a" * 15_000}).status_code == 200


def trickle(service: Service, first: bytes, piece: bytes) -> tuple[bytes, float]:
    """What comes back to a caller that sends a piece every 0.1 s, and after how many seconds."""
    started = time.monotonic()
    with connect(service) as connection:
        connection.sendall(first)
        try:
            while not select.select([connection], [], [], 0.1)[0]:
                assert time.monotonic() - started < 30, "a slow caller is never cut"
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            return b"", time.monotonic() - started
        return read_to_the_end(connection), time.monotonic() - started


def test_a_slow_caller_is_cut_with_a_408_and_writes_nothing(tmp_path: Path) -> None:
    with Service(tmp_path, environ={"TAI_REQUEST_SECONDS_MAX": "1"}) as service:
        slow_header = trickle(service, b"POST /marketplace HTTP/1.1\r\n", b"x: y\r\n")
        whole = post(service, "/marketplace", VERIFY + b" " * 1_000)
        slow_body = trickle(service, whole[:-990], b" ")
        for answer, seconds in (slow_header, slow_body):
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b'"reason":"request_timeout"' in answer
            assert 0.9 < seconds < 5
        assert exported(tmp_path) == []


def test_a_caller_that_hangs_up_within_its_body_writes_nothing(tmp_path: Path) -> None:
    with Service(tmp_path) as service, service.client() as client:
        with connect(service) as connection:
            connection.sendall(post(service, "/marketplace", VERIFY)[:-1])
        until(lambda: '"status":499' in "".join(service.output) or _gone(client), what="the caller is gone")
        assert say(service, post(service, "/marketplace", VERIFY)).startswith(b"HTTP/1.1 403 ")
        assert len(exported(tmp_path)) == 1


def _gone(client: httpx.Client) -> bool:
    return 'status="499"' in client.get("/metrics").text


# ---- how much at once


def test_requests_over_the_bound_are_told_to_come_back_and_those_within_it_are_answered(tmp_path: Path) -> None:
    with (
        Service(tmp_path, environ={"TAI_REQUESTS_AT_ONCE_MAX": "4"}) as service,
        service.client() as client,
        ThreadPoolExecutor(8) as pool,
    ):
        client.post("/marketplace", content=VERIFY)
        with held(service):
            within = [verify_in(pool, service, "acme", f"within-{number}") for number in range(4)]
            until_waiting(client, 4)
            over = [client.post("/marketplace", content=VERIFY), client.post("/v1/tenants/acme/check", json={})]
            assert client.get("/health/live").status_code == 200
            assert client.get("/metrics").status_code == 200
        for answer in over:
            assert (answer.status_code, answer.json()["reason"]) == (429, "overloaded")
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.headers["ratelimit"].startswith('"instance";r=0;')
            assert answer.headers["ratelimit-policy"].startswith('"instance";q=4')
            assert answer.json()["violated-policies"] == ["instance"]
        assert sorted(answer.result().json()["receipt"]["seq"] for answer in within) == [2, 3, 4, 5]
        assert client.post("/marketplace", content=VERIFY).json()["receipt"]["seq"] == 6


def test_one_tenants_rate_is_its_own(tmp_path: Path) -> None:
    with Service(tmp_path, environ={"TAI_TENANT_RATE_PER_SECOND": "5"}) as service, service.client() as client:
        answers = [client.post("/v1/tenants/noisy/check", json={}) for _ in range(50)]
        quiet = client.post("/v1/tenants/quiet/check", json={})
        listed = client.post("/v1/tenants/listed/check", json={"checks": [{}] * 5})
        over = client.post("/v1/tenants/listed/check", json={"checks": [{}] * 5})
        refused = [answer for answer in (*answers, over) if answer.status_code != 200]
        # Fifty calls take less than five seconds, in each of which five are let in.
        assert len(refused) >= 20
        assert (quiet.status_code, listed.status_code) == (200, 200)
        for answer in refused:
            assert (answer.status_code, answer.json()["reason"]) == (429, "rate_limited")
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.headers["ratelimit-policy"] == '"tenant";q=5;w=1'
            assert answer.json()["violated-policies"] == ["tenant"]
        until(
            lambda: client.post("/marketplace", json={"tenant_id": "noisy", "entitlement_id": "e"}).status_code == 403,
            what="the next second lets the tenant in again",
        )
        assert len(exported(tmp_path)) == 1


def test_a_caller_begins_no_more_ledgers_a_minute_than_the_setting_says(tmp_path: Path) -> None:
    environ = {"TAI_NEW_LEDGERS_PER_MINUTE_MAX": "1"}
    with Service(tmp_path, environ=environ) as service, service.client() as client:
        commands = [{"tenant_id": tenant, "entitlement_id": "e"} for tenant in ("a", "b", "c")]
        answers = [client.post("/marketplace", json=command) for command in commands]
    # Three calls take less than a minute, so that at most one of them is the first of another.
    refused = [answer for answer in answers if answer.json().get("reason") == "rate_limited"]
    assert len(refused) in (1, 2)
    for answer in refused:
        assert answer.headers["ratelimit-policy"] == '"new_ledgers";q=1;w=60'
        assert answer.json()["violated-policies"] == ["new_ledgers"]


# ---- a caller that does not wait


def test_a_command_whose_caller_hung_up_is_decided_and_a_retry_gets_its_receipt(tmp_path: Path) -> None:
    with Service(tmp_path) as service, service.client() as client:
        client.post("/marketplace", content=VERIFY)
        with held(service):
            with connect(service) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                connection.sendall(post(service, "/marketplace", VERIFY, "idempotency-key: gone"))
                until_waiting(client, 1)
            # Two more answers: the service has seen by now that nobody is left to tell.
            assert [client.get("/health/live").status_code for _ in range(2)] == [200, 200]
        until(lambda: len(exported(tmp_path)) == 2, what="the receipt of the command whose caller hung up")
        retry = client.post("/marketplace", content=VERIFY, headers={"idempotency-key": "gone"})
        assert retry.headers["idempotent-replayed"] == "true"
        assert retry.json()["receipt"]["seq"] == 2
        assert len(exported(tmp_path)) == 2


# ---- the end


def until_refused(service: Service) -> None:
    """Until no connection is accepted any more."""

    def refused() -> bool:
        try:
            connect(service).close()
        except ConnectionError:
            return True
        return False

    until(refused, what="nothing new is accepted", seconds=3)


def test_at_sigterm_what_is_in_flight_is_answered_and_nothing_new_begins(tmp_path: Path) -> None:
    with Service(tmp_path) as service, service.client() as client, ThreadPoolExecutor(1) as pool:
        client.post("/marketplace", content=VERIFY)
        with connect(service) as arriving:
            with held(service):
                arriving.sendall(post(service, "/marketplace", VERIFY)[:-1])
                in_flight = verify_in(pool, service, "acme", "in-flight")
                until_waiting(client, 1)
                os.kill(service.pid, signal.SIGTERM)
                until_refused(service)
                arriving.sendall(VERIFY[-1:])
            arrived = read_to_the_end(arriving)
        assert in_flight.result().json()["receipt"]["seq"] == 2
        assert arrived.startswith(b"HTTP/1.1 403 ")
        assert b"connection: close" in arrived
        assert service.wait() == 0
    assert len(exported(tmp_path)) == 3


def test_health_is_503_from_the_signal_on_until_nothing_is_accepted(tmp_path: Path) -> None:
    """The time between the two is short, and a machine may be slow: one of some tries must see it."""
    seen: set[int] = set()
    for _ in range(5):
        with Service(tmp_path) as service:
            statuses = health_after_sigterm(service)
            assert service.wait() == 0
        turned = list(itertools.dropwhile(lambda status: status == 200, statuses))
        assert set(turned) <= {503}, "well again after the signal"
        seen.update(turned)
        if 503 in seen:
            return
    raise AssertionError("no try saw a 503")


def health_after_sigterm(service: Service) -> list[int]:
    statuses: list[int] = []
    with service.client("") as client:
        client.get("/health")
        os.kill(service.pid, signal.SIGTERM)
        with suppress(httpx.TransportError):
            while True:
                statuses.append(client.get("/health").status_code)
    return statuses


def test_under_load_a_stop_takes_less_than_eight_seconds_and_nothing_answered_is_lost(tmp_path: Path) -> None:
    with Service(tmp_path) as service:
        answered, refused, seconds = asyncio.run(load_until_stopped(service))
    assert service.wait() == 0
    assert seconds < STOP_SECONDS_MAX
    assert refused <= {"draining"}
    lines = exported(tmp_path)
    verify(lines, {})
    stored = {json.loads(line)["hash"] for line in lines}
    assert len(answered) > 100
    assert set(answered) <= stored
    assert len(set(answered)) == len(answered)


async def load_until_stopped(service: Service) -> tuple[list[str], set[str], float]:
    """Hashes answered, reasons refused, and how long the process took to end after its signal."""
    answered: list[str] = []
    refused: set[str] = set()
    headers = {"Authorization": f"Bearer {service.admin_token}"}
    limits = httpx.Limits(max_connections=32)

    async def sender(client: httpx.AsyncClient, number: int) -> None:
        for count in itertools.count():
            body = {"tenant_id": f"t{number % 7}", "entitlement_id": "ent_1", "request_id": f"{number}-{count}"}
            try:
                reply = (await client.post("/marketplace", json=body)).json()
            except httpx.TransportError:
                return
            if "hash" in reply:
                answered.append(reply["hash"])
            else:
                refused.add(reply["reason"])

    async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=30, limits=limits) as client:
        senders = [asyncio.create_task(sender(client, number)) for number in range(32)]
        while len(answered) < 500:
            await asyncio.wait(senders, timeout=0.01)
        os.kill(service.pid, signal.SIGTERM)
        started = time.monotonic()
        await asyncio.gather(*senders)
        assert await asyncio.to_thread(service.wait) == 0
        return answered, refused, time.monotonic() - started


def test_a_second_sigterm_does_not_wait_for_a_caller_that_does_not_finish(tmp_path: Path) -> None:
    with Service(tmp_path) as service, connect(service) as slow:
        slow.sendall(post(service, "/marketplace", VERIFY)[:-1])
        assert say(service, post(service, "/marketplace", VERIFY)).startswith(b"HTTP/1.1 403 ")
        started = time.monotonic()
        os.kill(service.pid, signal.SIGTERM)
        until_refused(service)
        os.kill(service.pid, signal.SIGTERM)
        assert service.wait() == 0
        assert time.monotonic() - started < 3
    assert len(exported(tmp_path)) == 1


def test_a_stop_ends_although_the_store_stands_still(tmp_path: Path) -> None:
    with Service(tmp_path) as service, service.client() as client, ThreadPoolExecutor(1) as pool:
        client.post("/marketplace", content=VERIFY)
        with held(service):
            in_flight = verify_in(pool, service, "acme", "in-flight")
            until_waiting(client, 1)
            started = time.monotonic()
            os.kill(service.pid, signal.SIGTERM)
            status = service.wait()
            seconds = time.monotonic() - started
        answer = in_flight.result()
        assert (answer.status_code, answer.json()["reason"]) == (503, "outcome_unknown")
        assert "retry-after" in answer.headers
        assert status == 0
        assert seconds < STOP_SECONDS_MAX
