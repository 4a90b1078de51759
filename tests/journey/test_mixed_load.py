"""
Ten thousand concurrent mixed requests from 50 tenants, a third of them duplicates and reordered, over real HTTP.

On a store that instances share, several of them take the load, and some commands are sent to two at the same moment.
"""

import asyncio
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.journey.ledgers import exported
from tests.journey.mixed_load import check, commands, send
from tests.journey.service import Service
from tests.journey.stores import STORE
from tests.sizes import size

REQUESTS = 10_000
REQUESTS_SHORT = {"sqlite": REQUESTS, "postgresql": 3_000, "firestore": 1_500}
INSTANCES = {"sqlite": (1,), "postgresql": (1, 2, 4), "firestore": (1, 2)}
TWICE_EVERY = 10
"""Each such command is sent twice at the same moment, to two instances where there are two."""
SENDERS = 100
TRIES = {"sqlite": 1, "postgresql": 1, "firestore": 10}
"""The emulator takes some 200 commits a second of one document: a busy tenant's appends may end in a 503."""


async def send_all(services: list[Service], mixed: list[dict[str, Any]]) -> list[tuple[dict[str, Any], httpx.Response]]:
    answers: list[tuple[dict[str, Any], httpx.Response]] = []
    rest = enumerate(mixed)
    headers = {"Authorization": f"Bearer {services[0].admin_token}"}
    limits = httpx.Limits(max_connections=SENDERS)
    async with AsyncExitStack() as open_clients:
        clients = [
            await open_clients.enter_async_context(
                httpx.AsyncClient(base_url=service.url, headers=headers, timeout=60, limits=limits)
            )
            for service in services
        ]

        async def sender() -> None:
            for number, command in rest:
                first = number % len(clients)
                asked = [first, (first + 1) % len(clients)] if number % TWICE_EVERY == 0 else [first]
                sent = [send(clients[each], command, tries=TRIES[STORE]) for each in asked]
                for answer in await asyncio.gather(*sent):
                    answers.append((command, answer))

        await asyncio.gather(*(sender() for _ in range(SENDERS)))
    return answers


@pytest.mark.timeout(600)
@pytest.mark.parametrize("instances", INSTANCES[STORE])
def test_no_decision_differs_from_a_plain_sequential_model(tmp_path: Path, instances: int) -> None:
    mixed = commands(size(short=REQUESTS_SHORT[STORE], full=REQUESTS))
    with ExitStack() as started:
        # One after another: the first makes the keys that all of them use.
        services = [started.enter_context(Service(tmp_path)) for _ in range(instances)]
        answers = asyncio.run(send_all(services, mixed))
    assert len(answers) == len(mixed) + len(mixed[::TWICE_EVERY])
    check(exported(tmp_path), mixed, answers)
