"""What reading promises: pages in order, filters, snapshots with their tail, heads in one go."""

import pytest
from tests.contract.stores.builders import SALT, append, chain, receipt, send, snapshot_of

from tai_autonomics.application.ports import Store
from tai_autonomics.ledger.records import Head, Ledger, Part, Receipt, concerns_action

pytestmark = pytest.mark.anyio


async def test_a_ledger_that_does_not_exist_is_nothing_everywhere(store: Store) -> None:
    assert await store.read("acme") is None
    assert await store.receipts("acme", 0, 10) == ()
    assert await store.receipt("acme", 1) is None
    assert await store.find("acme", "command-1") is None
    assert await store.heads(["acme"]) == {}
    assert await store.tenants("", 10) == ()
    assert await store.parts("acme", 1, 10) == ()
    assert await store.newest_time() is None


async def test_a_snapshot_is_read_with_every_receipt_after_it(store: Store) -> None:
    made = chain("acme", 5)
    await send(store, append("acme", made, snapshot=snapshot_of(made[2])))
    assert await store.read("acme") == Ledger(snapshot_of(made[2]), made[3:])


async def test_a_newer_snapshot_takes_the_place_of_the_one_before(store: Store) -> None:
    made = chain("acme", 3)
    await send(store, append("acme", made[:1], snapshot=snapshot_of(made[0])))
    newer = snapshot_of(made[2], b"\x00" * 300_000)
    await send(store, append("acme", made[1:], made[0], snapshot=newer))
    assert await store.read("acme") == Ledger(newer, ())


async def test_a_tail_longer_than_a_page_is_read_whole(store: Store) -> None:
    made = chain("acme", 600)
    for start in range(0, 600, 50):
        await send(store, append("acme", made[start : start + 50], made[start - 1] if start else None))
    assert await store.read("acme") == Ledger(None, made)


async def test_receipts_come_in_pages_in_order(store: Store) -> None:
    made = chain("acme", 12)
    await send(store, append("acme", made), append("beta", chain("beta", 3)))
    assert await store.receipts("acme", 0, 5) == made[:5]
    assert await store.receipts("acme", 5, 5) == made[5:10]
    assert await store.receipts("acme", 10, 5) == made[10:]
    assert await store.receipts("acme", 12, 5) == ()


async def test_receipts_are_filtered_by_type_and_subject(store: Store) -> None:
    first = receipt("acme", subject=("entitlement", "ent_1"))
    second = receipt("acme", first, type="refusal", subject=("quota", "api_calls"))
    third = receipt("acme", second, type="refusal", subject=("entitlement", "ent_2"))
    fourth = receipt("acme", third, subject=("action", "ent_1"))
    await send(store, append("acme", [first, second, third, fourth]))
    assert await store.receipts("acme", 0, 9, type="refusal") == (second, third)
    assert await store.receipts("acme", 0, 9, subject="quota/api_calls") == (second,)
    assert await store.receipts("acme", 0, 9, subject="ent_1") == (first, fourth)
    assert await store.receipts("acme", 0, 9, type="refusal", subject="entitlement/ent_2") == (third,)
    assert await store.receipts("acme", 0, 1, type="refusal") == (second,)
    assert await store.receipts("acme", 2, 9, type="refusal") == (third,)
    assert await store.receipts("acme", 0, 9, type="action_result") == ()


async def test_tenants_come_in_the_order_of_their_bytes(store: Store) -> None:
    names = ("a", "B", "b", "a-1", "a.1", "a_1", "a:1", "A", "aa", "Z9", "0")
    await send(store, *(append(name, chain(name, 3)) for name in names))
    in_order = tuple(sorted(names, key=str.encode))
    assert await store.tenants("", 100) == in_order
    assert await store.tenants("", 4) == in_order[:4]
    assert await store.tenants(in_order[3], 4) == in_order[4:8]
    assert await store.tenants("a0", 2) == ("a:1", "a_1")
    assert await store.tenants(in_order[-1], 4) == ()


async def test_heads_of_many_tenants_are_one_read(store: Store) -> None:
    names = [f"tenant-{number}" for number in range(300)]
    made = {name: chain(name, 2) for name in names}
    await send(store, *(append(name, made[name]) for name in names))
    assert await store.heads([*names, "absent"]) == {
        name: Head(two[1].ledger, 2, two[1].hash, two[1].time) for name, two in made.items()
    }
    assert await store.heads([]) == {}


async def test_parts_lie_beside_their_receipts_in_order(store: Store) -> None:
    made = chain("acme", 70)
    parts = tuple(
        Part(seq, name, SALT, b'{"a":"\xc3\xbc"}') for seq in range(70, 0, -1) for name in ("reason", "metadata")
    )
    await send(store, append("acme", made, parts=parts), append("beta", chain("beta", 1), parts=parts[-1:]))
    assert await store.parts("acme", 1, 70) == tuple(sorted(parts, key=lambda part: (part.seq, part.name)))
    assert [part.seq for part in await store.parts("acme", 3, 4)] == [3, 3, 4, 4]
    assert await store.parts("acme", 71, 99) == ()


async def test_the_newest_time_is_that_of_the_receipt_appended_last(store: Store) -> None:
    made = chain("acme", 9)
    await send(store, append("acme", made))
    await send(store, append("beta", chain("beta", 1)))
    assert await store.newest_time() == chain("beta", 1)[0].time


async def test_what_became_of_actions_is_read_forwards_and_backwards_past_everything_else(store: Store) -> None:
    made: list[Receipt] = []
    for number in range(12):
        action = ("action", f"act-{number}")
        for kind, subject in (
            ("transition", ("governor", "autonomic")),
            ("action_attempt", action),
            ("refusal", action),
            ("transition", action),
            ("action_result", action),
            ("action_result", ("ledger", "of-acme")),
            ("transition", ("quota", "api_calls")),
        ):
            made.append(receipt("acme", made[-1] if made else None, type=kind, subject=subject))
    for start in range(0, len(made), 5):
        await send(store, append("acme", made[start : start + 5], made[start - 1] if start else None))
    await send(store, append("beta", [receipt("beta", type="action_result", subject=("action", "act-0"))]))
    wanted = tuple(one for one in made if concerns_action(one))
    assert [one.type for one in wanted[:4]] == ["action_attempt", "transition", "action_result", "action_result"]
    assert await store.action_receipts("acme", 0, 999) == wanted
    assert await store.action_receipts("acme", wanted[2].seq, 3) == wanted[3:6]
    assert await store.action_receipts("acme", wanted[-1].seq, 3) == ()
    assert await store.action_receipts_before("acme", 999, 999) == wanted[::-1]
    assert await store.action_receipts_before("acme", wanted[6].seq, 4) == wanted[2:6][::-1]
    assert await store.action_receipts_before("acme", wanted[0].seq, 4) == ()
    assert await store.action_receipts("nobody", 0, 9) == await store.action_receipts_before("nobody", 9, 9) == ()
