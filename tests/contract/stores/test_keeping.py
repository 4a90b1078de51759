"""What the rest of the port promises: quarantine, policies, probes."""

from typing import Any

import pytest
from msgspec.structs import replace
from tests.contract.stores.builders import moment
from tests.contract.stores.conftest import QUARANTINE_MAX

from tai_autonomics.application.ports import Store
from tai_autonomics.ledger.records import Quarantined

pytestmark = pytest.mark.anyio


def message(number: int, **given: Any) -> Quarantined:
    given = {
        "reason": "not_json",
        "digest": "0" * 64,
        "subscription": "signals",
        "message_id": str(number),
        "by": "pusher",
        "payload": b"\x00\xff",
        **given,
    }
    return Quarantined(id=f"message-{number}", time=moment(number), **given)


async def test_a_quarantined_message_is_kept_and_listed_in_the_order_of_ids(store: Store) -> None:
    for number in (2, 1, 3):
        assert await store.quarantine(message(number))
    assert await store.quarantined("", 2) == (message(1), message(2))
    assert await store.quarantined("message-2", 2) == (message(3),)


async def test_a_message_that_comes_again_is_kept_once_as_it_first_was(store: Store) -> None:
    assert await store.quarantine(message(1))
    assert await store.quarantine(message(1, payload=b"other"))
    assert await store.quarantined("", 9) == (message(1),)


async def test_a_full_quarantine_takes_no_more_but_knows_what_it_holds(store: Store) -> None:
    for number in range(QUARANTINE_MAX):
        assert await store.quarantine(message(number))
    assert not await store.quarantine(message(9))
    assert await store.quarantine(message(0))
    assert len(await store.quarantined("", 9)) == QUARANTINE_MAX


async def test_the_messages_that_are_held_are_counted(store: Store) -> None:
    assert await store.quarantine_size() == 0
    for number in range(QUARANTINE_MAX):
        await store.quarantine(message(number))
    assert await store.quarantine_size() == QUARANTINE_MAX
    await store.release_quarantined("message-0")
    assert await store.quarantine_size() == QUARANTINE_MAX - 1


@pytest.mark.parametrize("tenants", [None, (), ("acme", "beta")])
async def test_a_quarantined_message_keeps_all_that_another_delivery_needs(
    store: Store, tenants: tuple[str, ...] | None
) -> None:
    held = message(1, tenants=tenants, trace="ab" * 16, redrives=3, redrive_at=moment(9))
    assert await store.quarantine(held)
    assert await store.quarantined_one("message-1") == held
    assert await store.quarantined_one("message-2") is None


async def test_messages_are_redriven_once_their_time_has_come_the_earliest_first(store: Store) -> None:
    late, early, waiting = message(1, redrive_at=moment(8)), message(2, redrive_at=moment(7)), message(3)
    for each in (late, early, waiting):
        await store.quarantine(each)
    assert await store.to_redrive(moment(6), 9) == ()
    assert await store.to_redrive(moment(7), 9) == (early,)
    assert await store.to_redrive(moment(99), 9) == (early, late)
    assert await store.to_redrive(moment(99), 1) == (early,)


async def test_a_message_that_is_put_off_is_held_as_it_was_until_its_new_time(store: Store) -> None:
    first = message(1, redrive_at=moment(1))
    await store.quarantine(first)
    await store.put_off_quarantined("message-1", reason="conflict", redrives=1, redrive_at=moment(5))
    await store.put_off_quarantined("never-held", reason="conflict", redrives=1, redrive_at=moment(5))
    assert await store.to_redrive(moment(4), 9) == ()
    put_off = replace(first, reason="conflict", redrives=1, redrive_at=moment(5))
    assert await store.to_redrive(moment(5), 9) == (put_off,)
    await store.put_off_quarantined("message-1", reason="malformed_request", redrives=2, redrive_at=None)
    assert await store.to_redrive(moment(99), 9) == ()
    assert await store.quarantined("", 9) == (replace(first, reason="malformed_request", redrives=2, redrive_at=None),)


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
