"""
Verification: whether receipts are what was sealed, in the order in which it was sealed.

    1 parse strictly
    2 the canonical form of what was parsed equals the bytes (members unknown or twice do not survive this)
    3 seq is the next
    4 prev equals the hash of the one before (and the hash that stands beside the body is its own)
    5 time does not go back
    6 ledger id and tenant never change
    7 commitments that come with their part and salt open, and plans that come along are those that `policy` names
    8 (whole ledger) it starts at seq 1, and the last hash is the head that the caller trusts

A ledger cut at its tail verifies up to the cut: only a trusted head shows the loss. One whose earlier receipts are
archived starts after its base, which a later receipt must name with the digests of its state and of the archive file;
behind the receipts of that file it goes on, and its base must be the last of them (step 4).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from msgspec import Struct

from tai_autonomics.errors import BrokenChain, NotCanonical
from tai_autonomics.ledger.canonical import encode
from tai_autonomics.ledger.commitment import opens
from tai_autonomics.ledger.lines import parse_line
from tai_autonomics.ledger.receipt import Body, digest, read
from tai_autonomics.ledger.records import GENESIS, Base, Head, Part

ARCHIVED: Final = "LedgerArchived"
"""The one event whose meaning a verifier knows."""


class Verified(Struct, frozen=True):
    """
    A ledger without a fault, `receipts` of it seen.

    `trusted` says what `head` was held against: the head that was "given", or nothing but the "last" receipt itself,
    in which case a cut tail would not show. `opened` and `erased` count parts by name. `after` is the last archived
    receipt, where the ledger was verified from its base on; 0 from the first.
    """

    tenant: str
    receipts: int
    head: Head
    trusted: Literal["given", "last"]
    opened: dict[str, int]
    erased: dict[str, int]
    after: int = 0


class Chain:
    """
    One tenant's ledger under verification, taken on receipt by receipt; it keeps its place, not what it saw.

    It starts before seq 1, after a head that the caller trusts, or after a base that a receipt must name.
    """

    __slots__ = ("base", "erased", "hash", "ledger", "named", "opened", "receipts", "seq", "tenant", "time")

    def __init__(self, tenant: str, *, after: Head | None = None, base: Base | None = None) -> None:
        self.tenant = tenant
        self.ledger = after.ledger if after else None
        self.seq = after.seq if after else 0
        self.hash = after.hash if after else GENESIS
        self.time = after.time if after else ""
        self.receipts = 0
        self.opened: dict[str, int] = {}
        self.erased: dict[str, int] = {}
        self.base: Base | None = None
        """Where it started."""
        self.named = False
        """Whether a receipt names that."""
        if base is not None:
            self.begin(base)

    def begin(self, base: Base) -> None:
        """Start after the base; where it has a place already, that must be the base. Raises BrokenChain (step 4)."""
        head = base.head
        if self.ledger is None:
            self.base = base
            self.ledger, self.seq, self.hash, self.time = head.ledger, head.seq, head.hash, head.time
        elif (self.ledger, self.seq, self.hash, self.time) != (head.ledger, head.seq, head.hash, head.time):
            detail = f"the base beside it is receipt {head.seq} {head.hash}, the one before is {self.seq} {self.hash}"
            raise self.broken(4, detail)

    def extend(self, body: bytes, *, hash: str | None = None, parts: Sequence[Part] = ()) -> Body:
        """
        Verify the next receipt, steps 1 to 7, and take it as the place reached; `self.hash` is then its hash.

        `hash` is what stands beside the body, if anything does; `parts` are those of this receipt that still exist.
        Raises BrokenChain, after which this chain is of no more use.
        """
        try:
            members = read(body)
        except NotCanonical as error:
            raise self.broken(1, str(error)) from error
        self.link(members, body, hash=hash, parts=parts)
        return members

    def link(
        self, members: Body, body: bytes, *, hash: str | None, parts: Sequence[Part], plans: bytes | None = None
    ) -> None:
        """Steps 2 to 7 of `extend`, for a body that was `read`; `plans` is the plans file that came along with it."""
        try:
            same = encode(members) == body
        except NotCanonical as error:
            raise self.broken(2, str(error)) from error
        if not same:
            raise self.broken(2, "they are not the canonical form of what they say")
        seq, time, own_hash = members["seq"], members["time"], digest(body)
        if seq != self.seq + 1:
            raise self.broken(3 if self.seq else 8, f"seq is {seq} where {self.seq + 1} is next")
        if members["prev"] != self.hash:
            raise self.broken(4, f"prev is {members['prev']} where {self.hash} is the hash of the one before")
        if hash is not None and hash != own_hash:
            raise self.broken(4, f"the hash beside it is {hash}, its own is {own_hash}")
        if time < self.time:
            raise self.broken(5, f"time goes back from {self.time} to {time}")
        if self.ledger is None:
            self.ledger = members["ledger"]
        if members["tenant"] != self.tenant or members["ledger"] != self.ledger:
            raise self.broken(6, f"it is of ledger {members['ledger']} of {members['tenant']}, not {self.ledger}")
        if parts or "commits" in members:
            self._open(members.get("commits", {}), parts)
        if plans is not None and digest(plans) != members["policy"]:
            raise self.broken(7, f"the plans beside it are not those that its policy names, {members['policy']}")
        self.seq, self.time, self.hash = seq, time, own_hash
        self.receipts += 1
        if self.base is not None and not self.named:
            self.named = names(members["events"], self.base)

    def close(self, trusted: str | None = None) -> Verified:
        """
        What was verified, held against the hash of the newest receipt that the caller trusts, if there is one.

        Raises BrokenChain (step 8) when that is another receipt, or when there are no receipts at all.
        """
        if self.ledger is None:
            raise self.broken(8, "there is no receipt")
        if self.base is not None and not self.named:
            detail = f"no receipt says that the ledger was archived through receipt {self.base.seq}, with this state"
            raise self.broken(8, detail, seq=self.base.seq + 1)
        if trusted is not None and trusted != self.hash:
            raise self.broken(8, f"the last hash is {self.hash}, the trusted head is {trusted}", seq=self.seq)
        head = Head(ledger=self.ledger, seq=self.seq, hash=self.hash, time=self.time)
        return Verified(
            tenant=self.tenant,
            receipts=self.receipts,
            head=head,
            trusted="last" if trusted is None else "given",
            opened=self.opened,
            erased=self.erased,
            after=0 if self.base is None else self.base.seq,
        )

    def broken(self, step: int, detail: str, *, seq: int | None = None) -> BrokenChain:
        """The error that says so of the receipt expected next, or of `seq`."""
        return BrokenChain(tenant=self.tenant, seq=seq or self.seq + 1, step=step, detail=detail)

    def _open(self, commits: dict[str, str], parts: Sequence[Part]) -> None:
        for part in parts:
            if part.name not in commits or not opens(commits[part.name], salt=part.salt, text=part.text):
                raise self.broken(7, f"no commitment opens with the part {part.name!r}")
            self.opened[part.name] = self.opened.get(part.name, 0) + 1
        for name in commits.keys() - {part.name for part in parts}:
            self.erased[name] = self.erased.get(name, 0) + 1


def names(events: Sequence[Mapping[str, Any]], base: Base) -> bool:
    """Whether one of a receipt's events says that the ledger was archived up to this base."""
    return any(event.get("type") == ARCHIVED and _named(base).items() <= event.items() for event in events)


def _named(base: Base) -> dict[str, Any]:
    return {
        "through_seq": base.seq,
        "hash": base.snapshot.hash,
        "state_digest": digest(base.snapshot.state),
        "archive_digest": base.archive,
    }


def verify(lines: Iterable[bytes], trusted: Mapping[str, str]) -> tuple[Verified, ...]:
    """
    Verify whole ledgers, each line as `receipts export` writes it; several tenants may follow each other or mix.

    `trusted` has, by tenant, the hash of the newest receipt that the caller trusts. One result a tenant, in the order
    in which they appear; none for no lines. Raises BrokenChain at the first fault.
    """
    chains: dict[str, Chain] = {}
    owners: dict[str, Chain] = {}
    chain = Chain("an unknown tenant")
    for text in lines:
        try:
            line = parse_line(text)
            members = read(line.body)
        except NotCanonical as error:
            raise chain.broken(1, str(error)) from error
        tenant = members["tenant"]
        if tenant not in chains:
            chains[tenant] = Chain(tenant)
            if (owner := owners.setdefault(members["ledger"], chains[tenant])) is not chains[tenant]:
                raise owner.broken(6, f"its ledger goes on under the tenant {tenant}")
        chain = chains[tenant]
        if line.base is not None:
            chain.begin(line.base)
        chain.link(members, line.body, hash=line.hash, parts=line.parts, plans=line.plans)
    for tenant in trusted.keys() - chains.keys():
        raise Chain(tenant).broken(8, "there is no receipt")
    return tuple(chain.close(trusted.get(tenant)) for tenant, chain in chains.items())
