"""What leasing promises: due rows in order, each for one caller at a time, and a failing one starves nobody."""

import pytest
from tests.contract.stores.builders import append, chain, moment, send

from tai_autonomics.application.ports import Store
from tai_autonomics.ledger.records import Appended, Due, DueKey, Leased

pytestmark = pytest.mark.anyio

EXPIRE = Due("entitlement/ent_1", "expire", moment(10), b'{"v":1}')


async def test_a_row_is_leased_once_its_time_has_come(store: Store) -> None:
    await send(store, append("acme", chain("acme", 1), due=(EXPIRE,)))
    assert await store.lease(9, 10.0, "2026-11-24T00:00:09.999999Z") == ()
    assert await store.lease(9, 10.0, moment(10)) == (Leased("acme", EXPIRE, moment(20), 1),)


async def test_a_leased_row_is_nobody_elses_until_its_lease_ends(store: Store) -> None:
    await send(store, append("acme", chain("acme", 1), due=(EXPIRE,)))
    await store.lease(9, 10.0, moment(10))
    assert await store.lease(9, 10.0, "2026-11-24T00:00:19.999999Z") == ()
    assert await store.lease(9, 10.0, moment(20)) == (Leased("acme", EXPIRE, moment(40), 2),)


async def test_a_row_leased_again_and_again_waits_twice_as_long_each_time_up_to_five_minutes(store: Store) -> None:
    await send(store, append("acme", chain("acme", 1), due=(EXPIRE,)))
    ends = []
    now = moment(10)
    for _ in range(7):
        (leased,) = await store.lease(9, 10.0, now)
        ends.append(leased.until)
        now = leased.until
    assert ends == [moment(second) for second in (20, 40, 80, 160, 320, 620, 920)]


async def test_the_longest_due_come_first_and_no_more_than_asked_for(store: Store) -> None:
    rows = tuple(Due(f"entitlement/{second}", "expire", moment(second)) for second in (7, 3, 9, 1, 5))
    await send(store, append("acme", chain("acme", 1), due=rows))
    assert [leased.due.due for leased in await store.lease(2, 10.0, moment(8))] == [moment(1), moment(3)]
    assert [leased.due.due for leased in await store.lease(9, 10.0, moment(8))] == [moment(5), moment(7)]


async def test_rows_of_other_kinds_than_those_asked_for_stay_for_somebody_else(store: Store) -> None:
    kinds = ("expire", "attempt", "activate", "attempt", "expire")
    rows = tuple(Due(f"entitlement/{number}", kind, moment(number)) for number, kind in enumerate(kinds))
    await send(store, append("acme", chain("acme", 1), due=rows[:3]), append("beta", chain("beta", 1), due=rows[3:]))
    leased = await store.lease(9, 10.0, moment(9), kinds=("activate", "expire", "plan_change"))
    assert [each.due for each in leased] == [rows[0], rows[2], rows[4]]
    assert await store.lease(9, 10.0, moment(9), kinds=()) == ()
    assert [each.due for each in await store.lease(1, 10.0, moment(9), kinds=("attempt",))] == [rows[1]]
    assert [(each.due, each.attempts) for each in await store.lease(9, 10.0, moment(9))] == [(rows[3], 1)]
    assert await store.lease(9, 10.0, moment(9), kinds=("activate", "attempt", "expire")) == ()


async def test_no_more_rows_of_several_kinds_are_leased_than_asked_for(store: Store) -> None:
    rows = tuple(Due(f"action/{second}", f"kind-{second % 2}", moment(second)) for second in range(6))
    await send(store, append("acme", chain("acme", 1), due=rows))
    asked = ("kind-1", "kind-0")
    assert [each.due for each in await store.lease(3, 10.0, moment(8), kinds=asked)] == list(rows[:3])
    assert [each.due for each in await store.lease(9, 10.0, moment(8), kinds=asked)] == list(rows[3:])


async def test_failing_rows_do_not_starve_the_rest(store: Store) -> None:
    failing = tuple(Due(f"entitlement/failing-{number}", "expire", moment(1)) for number in range(5))
    await send(store, append("acme", chain("acme", 1), due=(*failing, EXPIRE)))
    seen = []
    for second in range(10, 20):
        seen.extend(leased.due.subject for leased in await store.lease(2, 1.0, moment(second)))
    assert EXPIRE.subject in seen[:6]


async def test_a_settled_row_is_not_leased_any_more(store: Store) -> None:
    made = chain("acme", 2)
    await send(store, append("acme", made[:1], due=(EXPIRE,)))
    settled = append("acme", made[1:], made[0], settled=(DueKey(EXPIRE.subject, EXPIRE.kind),))
    assert await send(store, settled) == (Appended(),)
    assert await store.lease(9, 10.0, moment(99)) == ()


async def test_setting_a_row_again_replaces_it_and_begins_anew(store: Store) -> None:
    made = chain("acme", 2)
    await send(store, append("acme", made[:1], due=(EXPIRE,)))
    await store.lease(9, 10.0, moment(10))
    later = Due(EXPIRE.subject, EXPIRE.kind, moment(12), b"new")
    await send(store, append("acme", made[1:], made[0], due=(later,)))
    assert await store.lease(9, 10.0, moment(12)) == (Leased("acme", later, moment(22), 1),)


async def test_a_row_that_is_settled_and_set_in_one_append_is_set(store: Store) -> None:
    made = chain("acme", 2)
    await send(store, append("acme", made[:1], due=(EXPIRE,)))
    later = Due(EXPIRE.subject, EXPIRE.kind, moment(12))
    await send(store, append("acme", made[1:], made[0], due=(later,), settled=(DueKey(EXPIRE.subject, EXPIRE.kind),)))
    assert await store.lease(9, 10.0, moment(20)) == (Leased("acme", later, moment(30), 1),)


async def test_equal_keys_of_two_tenants_are_two_rows(store: Store) -> None:
    acme, beta = chain("acme", 2), chain("beta", 1)
    await send(store, append("acme", acme[:1], due=(EXPIRE,)), append("beta", beta, due=(EXPIRE,)))
    await send(store, append("acme", acme[1:], acme[0], settled=(DueKey(EXPIRE.subject, EXPIRE.kind),)))
    assert [leased.tenant for leased in await store.lease(9, 10.0, moment(99))] == ["beta"]


async def test_hundreds_of_rows_are_set_leased_and_settled(store: Store) -> None:
    rows = tuple(Due(f"entitlement/{number:03}", "expire", moment(number)) for number in range(300))
    made = chain("acme", 2)
    await send(store, append("acme", made[:1], due=rows))
    assert [leased.due for leased in await store.lease(400, 10.0, moment(999))] == list(rows)
    settled = tuple(DueKey(row.subject, row.kind) for row in rows)
    await send(store, append("acme", made[1:], made[0], settled=settled))
    assert await store.lease(400, 10.0, moment(9_999)) == ()


async def test_tenants_with_a_row_of_a_kind_come_once_each_in_the_order_of_their_bytes(store: Store) -> None:
    names = ("b", "A", "a-1", "a", "Z9")
    rows = tuple(Due(f"action/{number}", "deadline", moment(number)) for number in range(3))
    first = {name: chain(name, 1) for name in (*names, "none")}
    await send(store, *(append(name, first[name], due=(*rows, EXPIRE)) for name in names))
    await send(store, append("none", first["none"], due=(EXPIRE,)))
    in_order = tuple(sorted(names, key=str.encode))
    assert await store.with_due("deadline", "", 9) == in_order
    assert await store.with_due("deadline", "", 2) == in_order[:2]
    assert await store.with_due("deadline", in_order[1], 2) == in_order[2:4]
    assert await store.with_due("deadline", in_order[-1], 9) == ()
    assert await store.with_due("expire", "b", 9) == ("none",)
    assert await store.with_due("approval_lapse", "", 9) == ()
    settled = tuple(DueKey(row.subject, row.kind) for row in rows)
    await send(store, append("a", chain("a", 1, first["a"][0]), first["a"][0], settled=settled))
    assert "a" not in await store.with_due("deadline", "", 9)
