"""What the rest of the port promises: quarantine, policies, probes."""

import pytest
from tests.contract.stores.builders import moment
from tests.contract.stores.conftest import QUARANTINE_MAX

from tai_autonomics.application.ports import Store
from tai_autonomics.ledger.records import Quarantined

pytestmark = pytest.mark.anyio


def message(number: int, payload: bytes = b"\x00\xff") -> Quarantined:
    return Quarantined(f"message-{number}", moment(number), "not_json", "0" * 64, "signals", payload)


async def test_a_quarantined_message_is_kept_and_listed_in_the_order_of_ids(store: Store) -> None:
    for number in (2, 1, 3):
        assert await store.quarantine(message(number))
    assert await store.quarantined("", 2) == (message(1), message(2))
    assert await store.quarantined("message-2", 2) == (message(3),)


async def test_a_message_that_comes_again_is_kept_once_as_it_first_was(store: Store) -> None:
    assert await store.quarantine(message(1))
    assert await store.quarantine(message(1, b"other"))
    assert await store.quarantined("", 9) == (message(1),)


async def test_a_full_quarantine_takes_no_more_but_knows_what_it_holds(store: Store) -> None:
    for number in range(QUARANTINE_MAX):
        assert await store.quarantine(message(number))
    assert not await store.quarantine(message(9))
    assert await store.quarantine(message(0))
    assert len(await store.quarantined("", 9)) == QUARANTINE_MAX


async def test_a_released_message_makes_room(store: Store) -> None:
    for number in range(QUARANTINE_MAX):
        await store.quarantine(message(number))
    await store.release_quarantined("message-0")
    await store.release_quarantined("never-held")
    assert await store.quarantine(message(9))
    assert await store.quarantined("", 1) == (message(1),)


async def test_policies_are_found_by_digest_and_the_last_kept_is_the_newest(store: Store) -> None:
    assert await store.newest_policy() is None
    assert await store.policy("d1") is None
    await store.keep_policy("d1", b"one", moment(1))
    await store.keep_policy("d2", b"two", moment(2))
    assert await store.newest_policy() == ("d2", b"two")
    assert await store.policy("d1") == b"one"


async def test_a_policy_that_is_kept_again_is_the_newest_and_otherwise_unchanged(store: Store) -> None:
    await store.keep_policy("d1", b"one", moment(1))
    await store.keep_policy("d2", b"two", moment(2))
    await store.keep_policy("d1", b"not read again", moment(3))
    assert await store.newest_policy() == ("d1", b"one")


async def test_a_store_that_works_passes_its_probe(store: Store) -> None:
    await store.probe()


async def test_a_store_says_what_it_takes_at_once(store: Store) -> None:
    bounds = store.bounds
    assert min(bounds.receipts_per_tenant_max, bounds.bytes_per_tenant_max, bounds.appends_at_once_max) >= 1


async def test_a_clock_is_aware_or_absent(store: Store) -> None:
    now = await store.now()
    assert now is None or now.tzinfo is not None
