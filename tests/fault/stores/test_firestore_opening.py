"""Opening Firestore: only when the URL names it, and with a clear word where it cannot be."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from google.cloud.firestore import AsyncClient
from tests.contract.stores.builders import append, chain, receipt, send, verify
from tests.engines import firestore
from tests.engines.ports import free_port

from tai_autonomics import wiring
from tai_autonomics.errors import InvalidSetting, LedgerNewerThanCode, StoreUnavailable
from tai_autonomics.ledger.records import Appended, Duplicates
from tai_autonomics.settings import Settings
from tai_autonomics.stores.firestore import documents

pytestmark = pytest.mark.anyio


def test_nothing_of_googles_clients_is_imported_before_a_url_names_one() -> None:
    # What reads conditions brings google.protobuf along, which costs 5 ms; a client costs a second.
    program = (
        "import sys, tai_autonomics.wiring;"
        "print([name for name in sys.modules if name.startswith(('google.', 'grpc')) and 'protobuf' not in name"
        " and not name.startswith('google._upb')])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout == "[]\n"


async def test_without_the_extra_the_refusal_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("tai_autonomics.stores.firestore")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "google.cloud.firestore_v1", None)
    settings = Settings.load({"STORE_URL": "firestore://acme-prod"}).settings
    with pytest.raises(InvalidSetting, match=r"^STORE_URL: .*pip install 'tai-autonomics\[gcp\]'$"):
        await wiring.open_store(settings)


async def test_the_url_and_the_emulators_address_are_all_that_is_needed() -> None:
    environ = {
        "STORE_URL": f"firestore://{firestore.new_project()}/ledgers",
        "FIRESTORE_EMULATOR_HOST": firestore.emulator().address,
    }
    store = await wiring.open_store(Settings.load(environ).settings)
    assert store.shared
    await store.probe()
    await store.aclose()


async def test_databases_of_a_project_have_their_ledgers_to_themselves() -> None:
    project = firestore.new_project()
    for database in ("(default)", "restored"):
        store = await firestore.open_store(project, database=database)
        await store.keep_policy(database, b"", "2026-11-24T00:00:00.000000Z")
        assert await store.newest_policy() == (database, b"")
        await store.aclose()


async def test_receipts_lie_in_the_collection_that_is_named_and_a_database_keeps_the_name_it_was_begun_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = firestore.new_project()
    store = await firestore.open_store(project, collection="decisions")
    made = chain("acme", 3)
    await send(store, append("acme", made[:2]))
    assert await send(store, append("acme", made[2:], made[1])) == (Appended(),)
    assert await store.find("acme", "command-2") == made[1]
    assert await verify(store, "acme", receipts=3) == made
    again = receipt("acme", made[0], command_id="command-3")
    (held,) = await send(store, append("acme", [again], made[0]))
    assert isinstance(held, Duplicates)
    assert held.first == {"command-3": made[2]}
    await store.aclose()

    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore.emulator().address)
    client: Any = AsyncClient(project=project)
    stored = {collection.id: [one.id async for one in collection.stream()] async for collection in client.collections()}
    client.close()
    assert len(stored["decisions"]) == 2
    assert "receipts" not in stored

    for read_only in (False, True):
        with pytest.raises(StoreUnavailable, match="keeps its receipts in the collection 'decisions'"):
            await firestore.open_store(project, read_only=read_only)


async def test_of_instances_that_begin_a_database_with_two_names_one_does_not_start() -> None:
    project = firestore.new_project()
    names = ("receipts", "decisions") * 4
    opened = await asyncio.gather(
        *(firestore.open_store(project, collection=name) for name in names), return_exceptions=True
    )
    stores = [one for one in opened if not isinstance(one, BaseException)]
    assert sorted(map(type, opened), key=repr) == sorted([StoreUnavailable, type(stores[0])] * 4, key=repr)
    for store in stores:
        await store.aclose()


async def test_an_engine_that_does_not_answer_stops_the_start_in_time() -> None:
    with pytest.raises(StoreUnavailable, match="Firestore"):
        await firestore.open_store(emulator=f"127.0.0.1:{free_port()}", timeout_seconds=0.5)


async def test_a_first_connection_that_takes_longer_than_a_call_may_does_not_stop_the_start() -> None:
    emulator = firestore.Emulator().start()
    try:
        with emulator.standing_still():
            opening = asyncio.create_task(
                firestore.open_store("acme-prod", emulator=emulator.address, timeout_seconds=2.0)
            )
            await asyncio.wait([opening], timeout=2.5)
            assert not opening.done()
        await (await opening).aclose()
    finally:
        emulator.kill()


async def test_documents_of_a_later_release_are_never_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    project = firestore.new_project()
    monkeypatch.setattr("tai_autonomics.stores.firestore.store.FORMAT", documents.FORMAT + 1)
    await (await firestore.open_store(project)).aclose()
    monkeypatch.undo()
    with pytest.raises(LedgerNewerThanCode):
        await firestore.open_store(project)


async def test_a_database_opened_to_read_is_not_written() -> None:
    store = await firestore.open_store(read_only=True)
    assert await store.tenants("", 9) == ()
    with pytest.raises(StoreUnavailable, match="read-only"):
        await store.release_quarantined("1")
    with pytest.raises(StoreUnavailable, match="read-only"):
        await store.append([], lambda append, outcome: None)
    await store.aclose()
