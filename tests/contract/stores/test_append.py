"""What an append promises: all or nothing, on the head that it names, each command once."""

import threading

import pytest
from tests.contract.stores.builders import SALT, append, chain, moment, receipt, send, snapshot_of, verify

from tai_autonomics.application.ports import Store
from tai_autonomics.ledger.records import (
    GENESIS,
    Append,
    Appended,
    Conflict,
    Due,
    Duplicates,
    Head,
    Ledger,
    Outcome,
    Part,
)

pytestmark = pytest.mark.anyio


def head_of(receipts: tuple) -> Head:
    last = receipts[-1]
    return Head(last.ledger, last.seq, last.hash, last.time)


async def test_what_was_appended_is_read_back_byte_for_byte(store: Store) -> None:
    made = chain("acme", 3)
    assert await send(store, append("acme", made)) == (Appended(),)
    assert await store.read("acme") == Ledger(None, made)
    assert await verify(store, "acme", receipts=3) == made


async def test_an_appended_receipt_shows_wherever_one_can_look(store: Store) -> None:
    made = chain("acme", 2)
    await send(store, append("acme", made))
    assert await store.receipt("acme", 2) == made[1]
    assert await store.find("acme", "command-1") == made[0]
    assert await store.heads(["acme"]) == {"acme": head_of(made)}
    assert await store.tenants("", 10) == ("acme",)
    assert await store.newest_time() == made[1].time


async def test_a_ledger_grows_append_by_append(store: Store) -> None:
    made = chain("acme", 5)
    assert await send(store, append("acme", made[:1])) == (Appended(),)
    assert await send(store, append("acme", made[1:4], made[0])) == (Appended(),)
    assert await send(store, append("acme", made[4:], made[3])) == (Appended(),)
    await verify(store, "acme", receipts=5)


async def test_a_thousand_receipts_of_twenty_tenants_go_in_one_append(store: Store) -> None:
    tenants = [f"tenant-{number}" for number in range(20)]
    outcomes = await send(store, *(append(tenant, chain(tenant, 50)) for tenant in tenants))
    assert outcomes == (Appended(),) * 20
    for tenant in tenants:
        await verify(store, tenant, receipts=50)


async def test_a_stale_append_is_told_the_receipts_that_it_missed(store: Store) -> None:
    made = chain("acme", 3)
    await send(store, append("acme", made))
    late = receipt("acme", made[0], command_id="late")
    assert await send(store, append("acme", [late], made[0])) == (Conflict(made[1:]),)
    await verify(store, "acme", receipts=3)


async def test_an_append_onto_another_hash_is_a_conflict_that_missed_nothing(store: Store) -> None:
    made = chain("acme", 1)
    await send(store, append("acme", made))
    fork = receipt("acme", receipt("acme", command_id="other"), command_id="late")
    assert await send(store, Append("acme", 1, "f" * 64, (fork,))) == (Conflict(()),)
    await verify(store, "acme", receipts=1)


async def test_an_append_past_the_end_of_the_ledger_is_a_conflict_that_missed_nothing(store: Store) -> None:
    made = chain("acme", 3)
    await send(store, append("acme", made[:1]))
    assert await send(store, append("acme", made[2:], made[1])) == (Conflict(()),)
    await verify(store, "acme", receipts=1)


async def test_an_append_onto_a_ledger_that_does_not_exist_is_a_conflict(store: Store) -> None:
    made = chain("acme", 2)
    assert await send(store, append("acme", made[1:], made[0])) == (Conflict(()),)
    assert await store.read("acme") is None


async def test_a_conflict_tells_at_most_one_page_of_five_hundred(store: Store) -> None:
    made = chain("acme", 501)
    for start in range(0, 501, 50):
        await send(store, append("acme", made[start : start + 50], made[start - 1] if start else None))
    late = receipt("acme", command_id="late")
    assert await send(store, append("acme", [late])) == (Conflict(made[:500]),)


async def test_a_repeated_command_gets_the_first_receipt_and_the_head(store: Store) -> None:
    made = chain("acme", 3)
    await send(store, append("acme", made))
    again = receipt("acme", made[2], command_id="command-2")
    assert await send(store, append("acme", [again], made[2])) == (Duplicates({"command-2": made[1]}, head_of(made)),)
    await verify(store, "acme", receipts=3)


async def test_every_held_id_of_an_append_is_named_and_no_other(store: Store) -> None:
    made = chain("acme", 3)
    await send(store, append("acme", made))
    again = chain("acme", 4, made[2], ids=["new-1", "command-1", "new-2", "command-3"])
    assert await send(store, append("acme", again, made[2])) == (
        Duplicates({"command-1": made[0], "command-3": made[2]}, head_of(made)),
    )
    assert await store.find("acme", "new-1") is None


async def test_duplicates_win_over_a_conflict(store: Store) -> None:
    made = chain("acme", 3)
    await send(store, append("acme", made))
    again = receipt("acme", made[0], command_id="command-3")
    assert await send(store, append("acme", [again], made[0])) == (Duplicates({"command-3": made[2]}, head_of(made)),)


async def test_an_id_that_was_not_claimed_can_be_claimed_later(store: Store) -> None:
    refused = receipt("acme", command_id="again", claims=False)
    accepted = receipt("acme", refused, command_id="again")
    assert await send(store, append("acme", [refused])) == (Appended(),)
    assert await store.find("acme", "again") is None
    assert await send(store, append("acme", [accepted], refused)) == (Appended(),)
    assert await store.find("acme", "again") == accepted


async def test_an_id_that_was_not_claimed_may_be_refused_unclaimed_again(store: Store) -> None:
    first = receipt("acme", command_id="again", claims=False)
    second = receipt("acme", first, command_id="again", claims=False)
    await send(store, append("acme", [first]))
    assert await send(store, append("acme", [second], first)) == (Appended(),)


async def test_an_id_may_be_refused_unclaimed_any_number_of_times_in_one_append(store: Store) -> None:
    first = receipt("acme", command_id="again", claims=False)
    second = receipt("acme", first, command_id="again", claims=False)
    third = receipt("acme", second, command_id="again")
    assert await send(store, append("acme", [first, second, third])) == (Appended(),)
    assert await store.find("acme", "again") == third


async def test_an_unclaimed_repeat_of_a_claimed_id_gets_the_first_receipt_too(store: Store) -> None:
    made = chain("acme", 1)
    await send(store, append("acme", made))
    again = receipt("acme", made[0], command_id="command-1", claims=False)
    assert await send(store, append("acme", [again], made[0])) == (Duplicates({"command-1": made[0]}, head_of(made)),)


async def test_tenants_have_their_command_ids_to_themselves(store: Store) -> None:
    assert await send(store, append("acme", chain("acme", 1)), append("beta", chain("beta", 1))) == (Appended(),) * 2
    assert await send(store, append("gamma", chain("gamma", 1))) == (Appended(),)


async def test_no_tenants_outcome_depends_on_anothers(store: Store) -> None:
    stale, held, good = chain("stale", 2), chain("held", 1), chain("good", 1)
    await send(store, append("stale", stale), append("held", held), append("good", good))
    outcomes = await send(
        store,
        append("new", chain("new", 50)),
        append("stale", [receipt("stale", stale[0], command_id="late")], stale[0]),
        append("held", [receipt("held", held[0], command_id="command-1")], held[0]),
        append("good", [receipt("good", good[0])], good[0]),
    )
    assert outcomes == (
        Appended(),
        Conflict(stale[1:]),
        Duplicates({"command-1": held[0]}, head_of(held)),
        Appended(),
    )
    for tenant, count in {"new": 50, "stale": 2, "held": 1, "good": 2}.items():
        await verify(store, tenant, receipts=count)


@pytest.mark.parametrize("refusal", ["conflict", "duplicates"])
async def test_nothing_of_a_refused_append_is_stored(store: Store, refusal: str) -> None:
    made = chain("acme", 2)
    await send(store, append("acme", made))
    base = made[0] if refusal == "conflict" else made[1]
    late = receipt("acme", base, command_id="late" if refusal == "conflict" else "command-1")
    await send(
        store,
        append(
            "acme",
            [late],
            base,
            parts=(Part(late.seq, "metadata", SALT, b"{}"),),
            due=(Due("entitlement/ent_1", "expire", moment(1)),),
            snapshot=snapshot_of(late),
        ),
    )
    assert await store.read("acme") == Ledger(None, made)
    assert await store.parts("acme", 1, 9) == ()
    assert await store.lease(9, 10.0, moment(99)) == ()


async def test_outcomes_are_told_once_each_on_the_event_loop(store: Store) -> None:
    made = chain("beta", 1)
    await send(store, append("beta", made))
    appends = [append("acme", chain("acme", 1)), append("beta", [receipt("beta", command_id="late")])]
    told: list[tuple[Append, Outcome, int]] = []
    await store.append(appends, lambda one, outcome: told.append((one, outcome, threading.get_ident())))
    here = threading.get_ident()
    assert sorted(told, key=lambda each: each[0].tenant) == [
        (appends[0], Appended(), here),
        (appends[1], Conflict(made), here),
    ]


async def test_an_append_without_receipts_applies_what_it_carries(store: Store) -> None:
    made = chain("acme", 1)
    await send(store, append("acme", made))
    kept = snapshot_of(made[0])
    assert await send(store, append("acme", (), made[0], snapshot=kept)) == (Appended(),)
    assert await store.read("acme") == Ledger(kept, ())


async def test_an_append_without_receipts_still_stands_under_its_head(store: Store) -> None:
    made = chain("acme", 2)
    await send(store, append("acme", made))
    assert await send(store, append("acme", (), made[0], snapshot=snapshot_of(made[0]))) == (Conflict(made[1:]),)
    assert await store.read("acme") == Ledger(None, made)


async def test_an_append_of_nothing_at_all_is_told_too(store: Store) -> None:
    assert await send(store) == ()
    assert await send(store, append("acme")) == (Appended(),)
    assert await store.read("acme") is None


async def test_two_appends_of_one_tenant_in_one_call_are_a_mistake_of_this_program(store: Store) -> None:
    made = chain("acme", 2)
    with pytest.raises(AssertionError):
        await send(store, append("acme", made[:1]), append("acme", made[1:], made[0]))
    assert await store.read("acme") is None


async def test_a_claimed_id_twice_in_one_append_is_a_mistake_of_this_program(store: Store) -> None:
    with pytest.raises(AssertionError):
        await send(store, append("acme", chain("acme", 2, ids=["same", "same"])))
    assert await send(store, append("acme", chain("acme", 1))) == (Appended(),)


async def test_a_gap_in_an_append_is_a_mistake_of_this_program(store: Store) -> None:
    made = chain("acme", 2)
    with pytest.raises(AssertionError):
        await send(store, Append("acme", 0, GENESIS, made[1:]))


async def test_another_tenants_receipt_in_an_append_is_a_mistake_of_this_program(store: Store) -> None:
    with pytest.raises(AssertionError):
        await send(store, append("acme", chain("beta", 1)))
