"""
firestore.indexes.json serves every query that the store makes, and keeps every other field out of the indexes.

The emulator answers without any index, so nothing but these tests would notice one that is missing.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from google.cloud.firestore import AsyncClient
from tests.contract.stores.builders import SALT, append, moment, receipt, send, snapshot_of
from tests.engines import firestore

from tai_autonomics.ledger.records import Base, Due, Erasure, Part, Quarantined
from tai_autonomics.settings import FIRESTORE_COLLECTIONS
from tai_autonomics.stores.firestore import documents, queries
from tai_autonomics.stores.firestore.queries import NAME, QUERIES, Query

pytestmark = pytest.mark.anyio

FILE = json.loads((Path(__file__).parents[3] / "firestore.indexes.json").read_text())
COMPOSITES = {
    (each["collectionGroup"], tuple((field["fieldPath"], field["order"]) for field in each["fields"]))
    for each in FILE["indexes"]
}
SINGLES = {
    (each["collectionGroup"], each["fieldPath"]): [index["order"] for index in each["indexes"]]
    for each in FILE["fieldOverrides"]
}


def direction(query: Query) -> str:
    return "DESCENDING" if query.descending else "ASCENDING"


def fields_of(query: Query) -> list[str]:
    """The fields that a query compares or orders by, each once, those compared for equality first."""
    compared = sorted(query.where, key=lambda condition: condition[1] not in ("==", "in"))
    return list(dict.fromkeys([field for field, _ in compared] + ([query.order] if query.order else [])))


@pytest.mark.parametrize("query", QUERIES, ids=repr)
def test_every_query_has_the_index_that_serves_it(query: Query) -> None:
    match [field for field in fields_of(query) if field != NAME]:
        case []:
            pass
        case [field]:
            assert direction(query) in SINGLES[query.collection, field]
        case [*equal, last]:
            index = (*((field, "ASCENDING") for field in equal), (last, direction(query)))
            assert (query.collection, index) in COMPOSITES


def test_no_index_is_kept_that_no_query_needs() -> None:
    composites = {
        (query.collection, (*((field, "ASCENDING") for field in fields[:-1]), (fields[-1], direction(query))))
        for query in QUERIES
        if len(fields := fields_of(query)) > 1
    }
    singles = {
        (query.collection, fields[0], direction(query))
        for query in QUERIES
        if len(fields := fields_of(query)) == 1 and fields[0] != NAME
    }
    assert composites == COMPOSITES
    assert singles == {(*field, order) for field, orders in SINGLES.items() for order in orders}
    assert all(index["queryScope"] == "COLLECTION" for index in FILE["indexes"])


def test_queries_are_all_listed() -> None:
    assert {query for query in vars(queries).values() if isinstance(query, Query)} == set(QUERIES)


def test_only_claims_are_forgotten_with_time() -> None:
    forgotten = [(each["collectionGroup"], each["fieldPath"]) for each in FILE["fieldOverrides"] if each.get("ttl")]
    assert forgotten == [("claims", "expires")]


async def test_every_field_that_is_stored_is_exempt_or_queried(monkeypatch: pytest.MonkeyPatch) -> None:
    project = firestore.new_project()
    store = await firestore.open_store(project)
    part = Part(1, "metadata", SALT, b"{}")
    first = receipt("acme", type="action_result", parts=[part])
    due = Due("entitlement/ent_1", "expire", moment(1), b"{}")
    await send(
        store,
        append(
            "acme",
            [first],
            parts=(part,),
            erasures=(Erasure(1, "reason"),),
            due=(due,),
            snapshot=snapshot_of(first),
        ),
    )
    another = receipt("acme2", parts=[part])
    await send(store, append("acme2", [another], parts=(part,)))
    await store.rebase("acme2", Base(snapshot_of(another), "a" * 64))
    assert await store.drop("acme2", 1) == 1
    await store.keep_policy("d1", b"x" * (documents.CHUNK_BYTES + 1), moment(1))
    await store.quarantine(
        Quarantined(id="1", time=moment(1), reason="", digest="", subscription="", message_id="", by="", payload=b"x")
    )
    await store.aclose()
    stored = await fields_in(project, monkeypatch)
    assert {collection for collection, _ in stored} == {"receipts", *FIRESTORE_COLLECTIONS}
    assert stored == set(SINGLES)


async def fields_in(project: str, monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """Every (collection, field) that holds anything, as Google's own client sees it."""
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore.emulator().address)
    client: Any = AsyncClient(project=project)
    found: set[tuple[str, str]] = set()
    places = [client]
    while places:
        async for collection in places.pop().collections():
            async for document in collection.stream():
                found.update((collection.id, field) for field in document.to_dict())
                places.append(document.reference)
    client.close()
    return found
