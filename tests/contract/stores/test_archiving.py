"""What archiving rests on: a ledger begins after a base, and what lies before it goes, in order, and nothing else."""

import pytest
from msgspec.structs import replace
from tests.contract.stores.builders import SALT, append, chain, receipt, send, snapshot_of

from tai_autonomics.application.ports import Store
from tai_autonomics.ledger.records import (
    Append,
    Appended,
    Base,
    Conflict,
    Dropped,
    Duplicates,
    Erased,
    Erasure,
    Head,
    Ledger,
    Part,
    Receipt,
)

pytestmark = pytest.mark.anyio

PARTS = (Part(2, "metadata", SALT, b'{"name":"Ada"}'), Part(2, "reason", SALT, b'"moved"'))


def base_of(last: Receipt, archive: str = "a" * 64) -> Base:
    return Base(snapshot_of(last, b'{"state":"at the base"}'), archive)


def head_of(last: Receipt) -> Head:
    return Head(last.ledger, last.seq, last.hash, last.time)


async def appended(store: Store, count: int, *, tenant: str = "acme", at_once: int = 3) -> tuple[Receipt, ...]:
    """A ledger that came in appends of a few receipts each; its second receipt has parts."""
    first = receipt(tenant)
    second = receipt(tenant, first, parts=PARTS)
    made = (first, second, *chain(tenant, count - 2, second))
    for start in range(0, count, at_once):
        parts = PARTS if start <= 1 < start + at_once else ()
        some = append(tenant, made[start : start + at_once], made[start - 1] if start else None, parts=parts)
        assert await send(store, some) == (Appended(),)
    return made


async def drop_all(store: Store, tenant: str = "acme", *, limit: int = 100) -> int:
    total = 0
    while count := await store.drop(tenant, limit):
        total += count
    return total


async def test_without_a_base_nothing_is_dropped(store: Store) -> None:
    made = await appended(store, 7)
    assert await store.bases(["acme", "nobody"]) == {}
    assert await store.drop("acme", 100) == 0
    assert await store.drop("nobody", 100) == 0
    assert await store.receipts("acme", 0, 100) == made


async def test_what_lies_before_the_base_is_dropped_and_nothing_else(store: Store) -> None:
    made, other = await appended(store, 12), await appended(store, 6, tenant="acme2")
    base = base_of(made[5])
    await store.rebase("acme", base)
    assert await store.receipts("acme", 0, 100) == made
    assert await drop_all(store) == 6
    assert await store.bases(["acme", "acme2"]) == {"acme": base}
    assert await store.receipts("acme", 0, 100) == made[6:]
    assert await store.receipts("acme", 2, 3) == made[6:9]
    assert await store.receipts("acme", 7, 2) == made[7:9]
    assert await store.receipts("acme", 0, 100, type="transition", subject="ent_1") == made[6:]
    assert [await store.receipt("acme", seq) for seq in (1, 6, 7)] == [None, None, made[6]]
    assert await store.heads(["acme"]) == {"acme": head_of(made[-1])}
    assert await store.tenants("", 10) == ("acme", "acme2")
    assert await store.receipts("acme2", 0, 100) == other


async def test_receipts_are_dropped_from_the_first_on_so_that_the_rest_is_without_a_gap(store: Store) -> None:
    made = await appended(store, 12)
    await store.rebase("acme", base_of(made[8]))
    dropped = await store.drop("acme", 3)
    assert dropped == 3
    assert await store.receipts("acme", 0, 100) == made[3:]
    assert await drop_all(store, limit=3) == 6
    assert await store.receipts("acme", 0, 100) == made[9:]


async def test_a_cut_is_no_later_than_asked_for_and_all_up_to_it_can_be_dropped(store: Store) -> None:
    made = await appended(store, 12)
    cut = await store.cut("acme", 8)
    assert cut in (6, 8), "between two appends, where an engine keeps those of one together"
    await store.rebase("acme", base_of(made[cut - 1]))
    assert await drop_all(store) == cut
    assert await store.receipts("acme", 0, 100) == made[cut:]
    assert await store.cut("acme", 12) == 12


async def test_a_ledger_is_read_from_its_base_where_the_snapshot_is_older_or_none(store: Store) -> None:
    made = await appended(store, 12)
    assert await store.read("acme") == Ledger(None, made)
    base = base_of(made[5])
    await store.rebase("acme", base)
    await drop_all(store)
    assert await store.read("acme") == Ledger(base.snapshot, made[6:])
    old = Append("acme", 12, made[-1].hash, snapshot=snapshot_of(made[2], b"older"))
    await send(store, old)
    assert await store.read("acme") == Ledger(base.snapshot, made[6:])
    newer = snapshot_of(made[8], b"newer")
    await send(store, replace(old, snapshot=newer))
    assert await store.read("acme") == Ledger(newer, made[9:])


async def test_a_base_goes_forward_only(store: Store) -> None:
    made = await appended(store, 12)
    later = base_of(made[8], "b" * 64)
    await store.rebase("acme", later)
    await store.rebase("acme", base_of(made[5]))
    await store.rebase("acme", base_of(made[8], "c" * 64))
    assert await store.bases(["acme"]) == {"acme": later}
    latest = base_of(made[11], "d" * 64)
    await store.rebase("acme", latest)
    assert await store.bases(["acme"]) == {"acme": latest}


async def test_a_ledger_whose_every_receipt_is_dropped_goes_on_from_its_base(store: Store) -> None:
    made = await appended(store, 6)
    base = base_of(made[-1])
    await store.rebase("acme", base)
    assert await drop_all(store) == 6
    assert await store.heads(["acme"]) == {"acme": head_of(made[-1])}
    assert await store.read("acme") == Ledger(base.snapshot, ())
    further = chain("acme", 2, made[-1])
    assert await send(store, append("acme", further, made[-1])) == (Appended(),)
    assert await store.receipts("acme", 0, 10) == further


async def test_a_ledger_can_begin_at_a_base(store: Store) -> None:
    made = chain("acme", 8)
    base = base_of(made[4])
    await store.rebase("acme", base)
    assert await store.heads(["acme"]) == {"acme": head_of(made[4])}
    assert await store.tenants("", 10) == ("acme",)
    assert await store.read("acme") == Ledger(base.snapshot, ())
    assert await send(store, append("acme", made[:1])) == (Conflict(()),)
    assert await send(store, append("acme", made[5:], made[4])) == (Appended(),)
    assert await store.receipts("acme", 0, 10) == made[5:]
    assert await store.read("acme") == Ledger(base.snapshot, made[5:])


async def test_a_state_larger_than_a_document_is_kept_whole(store: Store) -> None:
    made = await appended(store, 6)
    base = Base(snapshot_of(made[2], b"x" * 1_500_000), "a" * 64)
    await store.rebase("acme", base)
    await drop_all(store)
    assert await store.bases(["acme"]) == {"acme": base}
    assert await store.read("acme") == Ledger(base.snapshot, made[3:])


async def test_an_append_behind_the_base_misses_what_is_left(store: Store) -> None:
    made = await appended(store, 12)
    await store.rebase("acme", base_of(made[5]))
    await drop_all(store)
    late = receipt("acme", made[3], command_id="late")
    assert await send(store, append("acme", [late], made[3])) == (Conflict(made[6:]),)


async def test_a_dropped_receipts_command_id_is_free_and_those_of_the_rest_are_not(store: Store) -> None:
    made = await appended(store, 12)
    await store.rebase("acme", base_of(made[5]))
    await drop_all(store)
    assert await store.find("acme", "command-3") is None
    assert await store.find("acme", "command-7") == made[6]
    again = receipt("acme", made[-1], command_id="command-7")
    assert await send(store, append("acme", [again], made[-1])) == (
        Duplicates({"command-7": made[6]}, head_of(made[-1])),
    )
    freed = receipt("acme", made[-1], command_id="command-3")
    assert await send(store, append("acme", [freed], made[-1])) == (Appended(),)
    assert await store.find("acme", "command-3") == freed


async def test_parts_of_dropped_receipts_stay_and_can_still_be_erased(store: Store) -> None:
    made = await appended(store, 12)
    assert await store.dropped("acme", 2) is None
    await store.rebase("acme", base_of(made[5]))
    await drop_all(store)
    assert await store.parts("acme", 1, 12) == PARTS
    assert await store.dropped("acme", 2) == Dropped(made[1].hash, ("metadata", "reason"))
    assert [await store.dropped("acme", seq) for seq in (1, 7)] == [None, None]
    await send(store, append("acme", (), made[-1], erasures=(Erasure(2, "metadata"),)))
    assert await store.parts("acme", 1, 12) == PARTS[1:]
    assert await store.erased() == (Erased("acme", 2, made[1].hash, "metadata"),)
    assert await store.dropped("acme", 2) == Dropped(made[1].hash, ("metadata", "reason"))
    assert await store.journal_clean()


async def test_what_was_erased_before_it_was_dropped_is_still_named(store: Store) -> None:
    made = await appended(store, 12)
    for part in PARTS:
        await send(store, append("acme", (), made[-1], erasures=(Erasure(2, part.name),)))
    await store.rebase("acme", base_of(made[5]))
    await drop_all(store)
    assert set(await store.erased()) == {Erased("acme", 2, made[1].hash, part.name) for part in PARTS}
    assert await store.dropped("acme", 2) == Dropped(made[1].hash, ("metadata", "reason"))
