"""Verification: each step catches what it is there for, and names tenant, receipt and step."""

import tracemalloc
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.vectors.generate import METADATA, REASON, TENANT, commits, ledger, part, sealed, singles

from tai_autonomics.errors import BrokenChain
from tai_autonomics.ledger.chain import Chain, Verified, verify
from tai_autonomics.ledger.lines import reply
from tai_autonomics.ledger.receipt import digest, indexed, read
from tai_autonomics.ledger.records import GENESIS, Base, Head, Part, Receipt, Snapshot

RECEIPTS = tuple(ledger())
LAST = RECEIPTS[-1][0]
BOTH = (part(1, "metadata", METADATA), part(1, "reason", REASON))
WITH_PARTS = sealed(commits=commits(*BOTH))


def lines(receipts: Iterable[tuple[Receipt, tuple[Part, ...]]]) -> list[bytes]:
    return [reply(receipt.body, receipt.hash, parts) + b"\n" for receipt, parts in receipts]


def run_of(length: int, **changes: str) -> list[Receipt]:
    receipts: list[Receipt] = []
    for seq in range(1, length + 1):
        receipts.append(sealed(seq, receipts[-1].hash if receipts else GENESIS, **changes))
    return receipts


def bare(*receipts: Receipt) -> list[bytes]:
    return lines((receipt, ()) for receipt in receipts)


def broken(export: Iterable[bytes], trusted: dict[str, str] | None = None) -> tuple[str, int, int]:
    with pytest.raises(BrokenChain) as caught:
        verify(export, trusted or {})
    return caught.value.tenant, caught.value.seq, caught.value.step


def head_of(receipt: Receipt) -> Head:
    return Head(receipt.ledger, receipt.seq, receipt.hash, receipt.time)


def test_a_whole_ledger_verifies_and_says_what_was_seen() -> None:
    assert verify(lines(RECEIPTS), {}) == (
        Verified(
            tenant=TENANT,
            receipts=50,
            head=head_of(LAST),
            trusted="last",
            opened={"metadata": 5},
            erased={"metadata": 5},
        ),
    )


def test_the_head_that_the_caller_trusts_is_the_last() -> None:
    (verified,) = verify(lines(RECEIPTS), {TENANT: LAST.hash})
    assert (verified.trusted, verified.head.hash) == ("given", LAST.hash)


def test_a_cut_tail_shows_only_against_a_trusted_head() -> None:
    cut = lines(RECEIPTS[:40])
    assert verify(cut, {})[0].receipts == 40
    assert broken(cut, {TENANT: LAST.hash}) == (TENANT, 40, 8)


def test_a_trusted_head_of_a_tenant_that_is_not_there_shows() -> None:
    assert broken(lines(RECEIPTS), {"other-corp": LAST.hash}) == ("other-corp", 1, 8)


def test_verifying_keeps_nothing_of_what_it_saw() -> None:
    def endless() -> Iterator[bytes]:
        prev = GENESIS
        for seq in range(1, 8_001):
            receipt = sealed(seq, prev, time="2026-11-24T02:00:01.000000Z")
            prev = receipt.hash
            yield reply(receipt.body, receipt.hash, ())

    tracemalloc.start()
    assert verify(endless(), {})[0].receipts == 8_000
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Whatever else the process does meanwhile: one hash kept of each would be 900,000.
    assert peak_bytes < 500_000


def test_no_lines_verify_to_nothing() -> None:
    assert verify([], {}) == ()


@pytest.mark.parametrize("turns", ["abababab", "aaaabbbb", "abbbbaaa"])
def test_the_ledgers_of_several_tenants_may_mix(turns: str) -> None:
    ledgers = {"a": run_of(4, tenant="a", ledger="LA"), "b": run_of(4, tenant="b", ledger="LB")}
    waiting = {tenant: iter(receipts) for tenant, receipts in ledgers.items()}
    verified = verify(bare(*(next(waiting[turn]) for turn in turns)), {"a": ledgers["a"][-1].hash})
    assert [(each.tenant, each.receipts, each.trusted) for each in verified] == [("a", 4, "given"), ("b", 4, "last")]


def test_a_ledger_belongs_to_one_tenant() -> None:
    assert broken(bare(*run_of(2), *run_of(2, tenant="other-corp"))) == (TENANT, 3, 6)


def test_a_tenant_has_one_ledger() -> None:
    first, second = run_of(2)[0], run_of(2, ledger="01JDEDK3X0GOLDENLEDGER0002")[1]
    forged = sealed(2, first.hash, ledger=second.ledger)
    assert broken(bare(first, forged)) == (TENANT, 2, 6)


def test_the_first_line_that_cannot_be_read_is_of_nobody() -> None:
    assert broken([b"{}\n"]) == ("an unknown tenant", 1, 1)


def test_a_line_that_cannot_be_read_is_where_the_next_receipt_was_due() -> None:
    assert broken([*bare(*run_of(3)), b"{}\n"]) == (TENANT, 4, 1)


def test_the_parts_of_a_receipt_are_opened_or_erased_each_on_its_own() -> None:
    chain = Chain(TENANT)
    chain.extend(WITH_PARTS.body, hash=WITH_PARTS.hash, parts=BOTH[1:])
    verified = chain.close()
    assert (verified.opened, verified.erased) == ({"reason": 1}, {"metadata": 1})


@pytest.mark.parametrize(
    "foreign",
    [
        part(1, "note", METADATA),
        Part(1, "metadata", BOTH[0].salt, REASON),
        Part(1, "metadata", BOTH[1].salt, METADATA),
        Part(1, "metadata", BOTH[0].salt + METADATA[:1], METADATA[1:]),
    ],
)
def test_a_part_that_was_not_committed_to_is_step_7(foreign: Part) -> None:
    with pytest.raises(BrokenChain, match="receipt 1 of acme-corp: step 7"):
        Chain(TENANT).extend(WITH_PARTS.body, parts=(foreign,))


def test_plans_that_come_along_are_those_that_the_policy_names() -> None:
    receipt = sealed(policy=digest(b"plans: {}\n"))
    own, foreign = (reply(receipt.body, receipt.hash, (), plans=plans) for plans in (b"plans: {}\n", b"plans: {a}\n"))
    assert verify([own], {})[0].head.hash == receipt.hash
    assert broken([foreign]) == ("acme-corp", 1, 7)


def test_a_part_beside_a_receipt_without_commitments_is_step_7() -> None:
    with pytest.raises(BrokenChain, match="step 7"):
        Chain(TENANT).extend(sealed().body, parts=BOTH)


def test_a_chain_may_go_on_after_a_head_that_the_caller_trusts() -> None:
    first, second, third = run_of(3)
    chain = Chain(TENANT, after=head_of(first))
    chain.extend(second.body, hash=second.hash)
    chain.extend(third.body)
    assert chain.close(third.hash) == Verified(TENANT, 2, head_of(third), "given", {}, {})


def test_a_chain_that_goes_on_takes_no_other_ledger() -> None:
    first, _ = run_of(2)
    other = sealed(2, first.hash, ledger="01JDEDK3X0GOLDENLEDGER0002")
    with pytest.raises(BrokenChain, match="receipt 2 of acme-corp: step 6"):
        Chain(TENANT, after=head_of(first)).extend(other.body)


def test_a_chain_takes_no_receipt_of_another_tenant() -> None:
    with pytest.raises(BrokenChain, match="receipt 1 of other-corp: step 6"):
        Chain("other-corp").extend(sealed().body)


def test_a_ledger_without_receipts_is_step_8() -> None:
    with pytest.raises(BrokenChain, match="receipt 1 of acme-corp: step 8: there is no receipt"):
        Chain(TENANT).close()


def test_time_may_stand_still() -> None:
    time = "2026-11-24T02:00:01.000000Z"
    assert verify(bare(*run_of(3, time=time)), {})[0].head.time == time


def test_an_integer_out_of_range_is_step_2() -> None:
    body = sealed(events=[{"type": "T", "n": 1}]).body.replace(b'"n":1', b'"n":9007199254740992')
    with pytest.raises(BrokenChain, match="step 2: Integer exceeds 53-bit range"):
        Chain(TENANT).extend(body)


def test_what_was_verified_becomes_a_receipt_without_reading_it_again() -> None:
    chain, receipt = Chain(TENANT), sealed()
    members = chain.extend(receipt.body)
    assert indexed(members, body=receipt.body, hash=chain.hash) == receipt


def caught(body: bytes, receipt: Receipt) -> bool:
    """Whether a changed body is caught where nothing but its hash, kept somewhere, protects it."""
    try:
        Chain(receipt.tenant, after=Head(receipt.ledger, receipt.seq - 1, read(receipt.body)["prev"], "")).extend(
            body, hash=receipt.hash
        )
    except BrokenChain:
        return True
    return False


@pytest.mark.parametrize("receipt", [pytest.param(receipt, id=name) for name, receipt, _ in singles()])
def test_any_single_flipped_byte_of_a_stored_body_is_caught(receipt: Receipt) -> None:
    assert not caught(receipt.body, receipt)
    for place in range(len(receipt.body)):
        for flip in (0x01, 0x02, 0x04, 0x20, 0x80, 0xFF):
            body = bytearray(receipt.body)
            body[place] ^= flip
            assert caught(bytes(body), receipt), (place, flip)


@given(st.sampled_from([receipt for receipt, _ in RECEIPTS[:-1]]), st.data())
def test_a_flipped_byte_is_caught_also_when_its_hash_was_made_again(receipt: Receipt, data: st.DataObject) -> None:
    body = bytearray(receipt.body)
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    forged = lines(RECEIPTS)
    forged[receipt.seq - 1] = reply(bytes(body), digest(bytes(body)), RECEIPTS[receipt.seq - 1][1]) + b"\n"
    assert broken(forged)[1] in (receipt.seq, receipt.seq + 1, 1)


# ---- behind an archive


def based(count: int = 4, *, state: bytes = b"{}") -> tuple[Base, Receipt]:
    """A base after receipt `count`, and the receipt after it, which says so."""
    last = run_of(count)[-1]
    base = Base(Snapshot(last.seq, last.ledger, last.hash, last.time, 1, state), "a" * 64)
    return base, sealed(count + 1, last.hash, subject=("ledger", last.ledger), events=[said_of(base)])


def said_of(base: Base, **changes: object) -> dict[str, object]:
    return {
        "type": "LedgerArchived",
        "first_seq": 1,
        "through_seq": base.seq,
        "hash": base.snapshot.hash,
        "state_digest": digest(base.snapshot.state),
        "archive_digest": base.archive,
    } | changes


def test_a_ledger_starts_after_a_base_that_a_receipt_names() -> None:
    base, saying = based()
    chain = Chain(TENANT, base=base)
    chain.extend(saying.body)
    chain.extend(sealed(6, saying.hash).body)
    verified = chain.close()
    assert (verified.receipts, verified.after, verified.head.seq) == (2, 4, 6)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "LedgerRestored"},
        {"through_seq": 3},
        {"hash": GENESIS},
        {"state_digest": "b" * 64},
        {"archive_digest": ""},
    ],
    ids=repr,
)
def test_a_receipt_that_names_another_base_does_not_do(change: dict[str, object]) -> None:
    base, _ = based()
    chain = Chain(TENANT, base=base)
    chain.extend(sealed(5, base.snapshot.hash, events=[said_of(base, **change)]).body)
    with pytest.raises(BrokenChain, match="receipt 5 of acme-corp: step 8: no receipt says"):
        chain.close()


def test_a_base_without_a_receipt_after_it_does_not_do() -> None:
    with pytest.raises(BrokenChain, match="step 8: no receipt says"):
        Chain(TENANT, base=based()[0]).close()


def test_behind_its_archive_a_ledger_goes_on_from_the_base() -> None:
    base, saying = based()
    line = reply(saying.body, saying.hash, (), base=base)
    (verified,) = verify([*bare(*run_of(4)), line], {})
    assert (verified.receipts, verified.after) == (5, 0)
    assert verify([line], {})[0].after == 4
    assert broken([*bare(*run_of(3)), line]) == (TENANT, 4, 4)


@pytest.mark.parametrize("change", [{"seq": 3}, {"hash": GENESIS}, {"time": ""}, {"ledger": "L"}], ids=repr)
def test_a_base_that_is_not_the_last_of_its_archive_is_refused(change: dict[str, object]) -> None:
    base, saying = based()
    other = Base(replace(base.snapshot, **change), base.archive)
    assert broken([*bare(*run_of(4)), reply(saying.body, saying.hash, (), base=other)]) == (TENANT, 5, 4)
