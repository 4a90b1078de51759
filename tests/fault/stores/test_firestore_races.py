"""Processes on the same tenants, duplicates at the same moment, due rows that everybody wants: each goes to one."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from tests.contract.stores.builders import append, chain, moment, receipt, send, verify
from tests.engines import firestore
from tests.sizes import size

from tai_autonomics.ledger.records import Append, Appended, Busy, Conflict, Due, Duplicates, Receipt
from tai_autonomics.stores.firestore import FirestoreStore

pytestmark = pytest.mark.anyio

PROCESSES = 4
SECONDS_MAX = 100
ROOT = Path(__file__).parents[3]


@pytest.mark.full
@pytest.mark.parametrize("tenants", [["acme"], ["acme", "beta", "gamma"]], ids=["one tenant", "three tenants"])
async def test_processes_that_send_the_same_commands_make_one_chain_with_each_once(tenants: list[str]) -> None:
    project, commands = firestore.new_project(), size(short=16, full=400)
    said = await asyncio.to_thread(race, project, tenants, commands)
    store = await firestore.open_store(project)
    for tenant in tenants:
        made = await verify(store, tenant, receipts=commands)
        assert sorted(one.command_id for one in made) == sorted(f"c{number}" for number in range(commands))
        assert {(tenant, one.command_id, one.hash) for one in made} == {line for line in said if line[0] == tenant}
    assert len(said) == commands * len(tenants)
    await store.aclose()


def race(project: str, tenants: list[str], commands: int) -> list[tuple[str, ...]]:
    """What every process says that it appended; they begin together."""
    command = [sys.executable, "-m", "tests.fault.stores.racing_firestore", firestore.emulator().address, project]
    processes = [
        subprocess.Popen(
            [*command, str(place), ",".join(tenants), str(commands)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for place in range(PROCESSES)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.communicate(timeout=SECONDS_MAX)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert [process.returncode for process in processes] == [0] * PROCESSES
    return [tuple(line.split()) for output in said for line in output.splitlines()]


async def test_a_command_sent_to_two_instances_at_the_same_moment_is_one_receipt() -> None:
    project = firestore.new_project()
    one, two = await firestore.open_store(project), await firestore.open_store(project)
    head: Receipt | None = None
    for number in range(size(short=20, full=500)):
        mine = receipt("acme", head, command_id=f"c{number}")
        theirs = receipt("acme", head, command_id=f"c{number}", padding=1)
        outcomes = await asyncio.gather(
            _until_said(one, append("acme", [mine], head)), _until_said(two, append("acme", [theirs], head))
        )
        winner, loser = outcomes if isinstance(outcomes[0], Appended) else outcomes[::-1]
        assert isinstance(winner, Appended)
        assert isinstance(loser, Duplicates)
        head = loser.first[f"c{number}"]
        assert head in (mine, theirs)
    await verify(one, "acme", receipts=number + 1)
    await one.aclose()
    await two.aclose()


async def _until_said(store: FirestoreStore, each: Append) -> Appended | Conflict | Duplicates:
    while True:
        (outcome,) = await send(store, each)
        if not isinstance(outcome, Busy):
            return outcome


async def test_instances_that_lease_at_once_get_each_row_once_by_the_engines_clock() -> None:
    project, rows = firestore.new_project(), size(short=60, full=400)
    stores = [await firestore.open_store(project) for _ in range(4)]
    for number in range(rows):
        tenant = f"tenant-{number}"
        due = Due("entitlement/ent_1", "expire", moment(0))
        await send(stores[0], append(tenant, chain(tenant, 1), due=(due,)))
    leased: list[str] = []
    while len(leased) < rows:
        # No time is given: it is Firestore's.
        for some in await asyncio.gather(*(store.lease(10, 30.0) for store in stores)):
            leased.extend(row.tenant for row in some)
            assert all(row.attempts == 1 for row in some)
    assert sorted(leased) == sorted(f"tenant-{number}" for number in range(rows))
    assert all([await store.lease(10, 30.0) == () for store in stores])
    for store in stores:
        await store.aclose()


async def test_a_lease_goes_by_the_engines_clock_whatever_the_callers_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firestore, "hand_timed", lambda store: store)
    store = await firestore.open_store()
    before = await store.now()
    await send(store, append("acme", chain("acme", 1), due=(Due("entitlement/ent_1", "expire", moment(0)),)))
    (row,) = await store.lease(1, 30.0, "1999-01-01T00:00:00.000000Z")
    assert await store.lease(1, 30.0, "2099-01-01T00:00:00.000000Z") == ()
    after = await store.now()
    assert before.isoformat() < row.until
    assert 29.0 < (firestore.time_of(row.until) - before).total_seconds() < 31.0 + (after - before).total_seconds()
    await store.aclose()
