"""
Writes the frozen vectors beside it: `python -m tests.vectors.generate`.

    receipts.json    one receipt of each kind that a reader must cope with, and the parts beside it
    chain.jsonl      a ledger of 50 receipts as an export writes it
    mutations.json   lines that take the place of lines of chain.jsonl, and the receipt and step that must fail
    archive.jsonl    the first four receipts of a ledger of six, as an archive holds them
    based.jsonl      the other two as an export has them once those are archived

A test compares the files with what this script gives today. They change only with an ADR: a verifier that someone
wrote against them must go on working.
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from tai_autonomics.ledger.canonical import canonical
from tai_autonomics.ledger.commitment import commit
from tai_autonomics.ledger.lines import parse_line, reply
from tai_autonomics.ledger.receipt import claims_id, digest, receipt_of, seal
from tai_autonomics.ledger.records import GENESIS, Base, Part, Receipt, Snapshot

HERE = Path(__file__).parent
TENANT, LEDGER = "acme-corp", "01JDEDK3X0GOLDENLEDGER0001"
POLICY, REQUEST = sha256(b"plans").hexdigest(), sha256(b"request").hexdigest()
TRACE = "0af7651916cd43dd8448eb211c80319c"
LARGEST = 2**53 - 1
UNICODE = 'q"b\\s/ \b\t\n\f\r\x00\x1f\x7f\x80 é e\u0301 € \u2028 \ufb33 \uffff 😂'

GATES = [
    {"gate": "entitlement_is_in_service", "passed": True, "evidence": {"entitlement": "ent_1", "status": "active"}},
    {
        "gate": "quota_is_available",
        "passed": False,
        "evidence": {"quota": "api_calls", "limit": 100, "used": 99, "wanted": 2, "thresholds": [80, 100]},
    },
]
REFUSAL = {"reason": "quota_exceeded", "detail": "api_calls: 99 of 100 used, 2 wanted", "next_step": "wait until 03:00"}
METADATA = b'{ "order": "A-17", "note": "caf\xc3\xa9 \\u00e9" }'
REASON = b'"customer asked"'


def sealed(seq: int = 1, prev: str = GENESIS, **changes: Any) -> Receipt:
    """A granted entitlement, but for `changes`."""
    members: dict[str, Any] = {
        "tenant": TENANT,
        "ledger": LEDGER,
        "time": f"2026-11-24T02:{seq // 60 % 60:02}:{seq % 60:02}.123456Z",
        "type": "transition",
        "subject": ("entitlement", "ent_1"),
        "cause": {"kind": "marketplace", "id": f"http:robot:key-{seq}", "by": "robot", "request": REQUEST},
        "decision": {"from": "requested", "to": "active"},
        "events": [
            {"type": "EntitlementGranted", "entitlement_id": "ent_1", "plan": "professional", "was": "requested"}
        ],
        "refusal": None,
        "policy": POLICY,
        "trace": TRACE,
        "commits": {},
    }
    members |= changes
    refusal, cause = members["refusal"], members["cause"]
    claims = claims_id(type=members["type"], reason=refusal and refusal["reason"], source=cause["kind"])
    return seal(seq=seq, prev=prev, command_id=cause["id"], claims=claims, **members)


def part(seq: int, name: str, text: bytes) -> Part:
    """A part with a salt that anyone can make again; real salts are random."""
    return Part(seq=seq, name=name, salt=sha256(f"salt of {name} {seq}".encode()).digest(), text=text)


def commits(*parts: Part) -> dict[str, str]:
    return {each.name: commit(each.salt, each.text) for each in parts}


def consumed(amount: int, used: int, limit: int | None) -> dict[str, Any]:
    event = {"type": "QuotaConsumed", "quota": "api_calls", "amount": amount, "used": used}
    return event if limit is None else event | {"limit": limit}


def singles() -> Iterator[tuple[str, Receipt, tuple[Part, ...]]]:
    yield "a transition", sealed(), ()
    yield "a transition by a timer, which nobody sent and nobody traces", by_timer(), ()
    yield "a refusal with gates, whose id is free again", refusal(1, GENESIS), ()
    yield "the same refusal over Pub/Sub, whose id is claimed", refusal(1, GENESIS, kind="pubsub"), ()
    yield "an action_attempt", attempt(1, GENESIS), ()
    yield "an action_result", result(1, GENESIS), ()
    both = (part(1, "metadata", METADATA), part(1, "reason", REASON))
    yield "two parts present", sealed(commits=commits(*both)), both
    yield "one part of two erased", sealed(commits=commits(*both)), both[:1]
    yield "both parts erased", sealed(commits=commits(*both)), ()
    yield "Unicode, escapes and controls", unicode(1, GENESIS), ()
    yield "the largest integers", sealed(LARGEST, "f" * 64, events=[consumed(LARGEST, -LARGEST, 0)]), ()
    yield "sixteen containers deep", sealed(events=[{"type": "Nested", "values": nested(13)}]), ()
    yield "three events", sealed(events=[consumed(1, n, None) for n in range(3)]), ()


def by_timer() -> Receipt:
    cause = {"kind": "timer", "id": "timer:entitlement/ent_1:expire:2026-11-24T02:00:00.000000Z", "by": "timer"}
    expired = {"type": "EntitlementExpired", "entitlement_id": "ent_1", "was": "active"}
    return sealed(cause=cause, trace=None, decision={"from": "active", "to": "expired"}, events=[expired])


def refusal(seq: int, prev: str, kind: str = "usage") -> Receipt:
    return sealed(
        seq,
        prev,
        type="refusal",
        subject=("quota", "api_calls"),
        cause={"kind": kind, "id": f"http:robot:use-{seq}", "by": "robot", "request": REQUEST},
        decision={"gates": GATES},
        events=[],
        refusal=REFUSAL,
    )


def attempt(seq: int, prev: str) -> Receipt:
    target = {"service": "api", "instances_min": 2}
    event = {"type": "ActionAttempted", "action_id": "act_1", "number": 1, "target": target}
    return sealed(seq, prev, type="action_attempt", subject=("action", "act_1"), decision={}, events=[event])


def result(seq: int, prev: str) -> Receipt:
    event = {"type": "ActionSettled", "action_id": "act_1", "number": 1, "outcome": "succeeded", "seconds": "0.250"}
    return sealed(seq, prev, type="action_result", subject=("action", "act_1"), decision={}, events=[event])


def unicode(seq: int, prev: str) -> Receipt:
    cause = {"kind": "api", "id": f"http:robot:signal-{seq}", "by": UNICODE, "request": REQUEST}
    return sealed(
        seq, prev, cause=cause, events=[{"type": "SignalObserved", "labels": {"region": UNICODE}, "value": "80.5"}]
    )


def nested(levels: int) -> Any:
    return [] if levels == 1 else {"a": nested(levels - 1)} if levels % 2 else [nested(levels - 1)]


def ledger() -> Iterator[tuple[Receipt, tuple[Part, ...]]]:
    """Fifty receipts of every kind; 5, 15, … have a part, that of 6, 16, … is erased; 2 is as old as 1."""
    prev = GENESIS
    for seq in range(1, 51):
        parts = (part(seq, "metadata", METADATA),)
        match seq % 10:
            case 2 if seq == 2:
                receipt = sealed(seq, prev, time="2026-11-24T02:00:01.123456Z")
            case 3:
                receipt = refusal(seq, prev)
            case 5 | 6:
                receipt = sealed(seq, prev, commits=commits(*parts))
            case 7:
                receipt = attempt(seq, prev)
            case 8:
                receipt = result(seq, prev)
            case 9:
                receipt = unicode(seq, prev)
            case _:
                receipt = sealed(
                    seq, prev, subject=("quota", "api_calls"), decision={}, events=[consumed(1, seq, None)]
                )
        yield receipt, parts if seq % 10 == 5 else ()
        prev = receipt.hash


def export() -> list[str]:
    return [reply(receipt.body, receipt.hash, parts).decode() for receipt, parts in ledger()]


Mutation = dict[str, Any]


def fields(lines: list[str]) -> Iterator[Mutation]:
    """
    Every field changed once, in two ways: its hash made again, as a forger would, and left as it was.

    What only the hash protects is caught by the next receipt's prev (step 4 at seq + 1) in the first case, and at once
    in the second.
    """
    granted = json.loads(sealed().body)["events"]
    for seq, path, value, step, at in (
        (25, "v", 2, 1, 25),
        (25, "ledger", "01JDEDK3X0GOLDENLEDGER0002", 6, 25),
        (25, "seq", 26, 3, 25),
        (25, "prev", GENESIS, 4, 25),
        (25, "time", "2026-11-24T02:00:23.999999Z", 5, 25),
        (25, "type", "action_result", 4, 26),
        (25, "tenant", "other-corp", 6, 25),
        (25, "subject.kind", "quota", 4, 26),
        (25, "subject.id", "ent_2", 4, 26),
        (25, "cause.kind", "api", 4, 26),
        (25, "cause.id", "http:robot:key-26", 4, 26),
        (25, "cause.by", "admin", 4, 26),
        (25, "cause.request", "0" * 64, 4, 26),
        (25, "decision.from", "suspended", 4, 26),
        (25, "decision.to", "suspended", 4, 26),
        (25, "events.0.type", "EntitlementRequested", 4, 26),
        (25, "events.0.plan", "enterprise", 4, 26),
        (25, "policy", "0" * 64, 4, 26),
        (25, "trace", "0" * 32, 4, 26),
        (25, "commits.metadata", "0" * 64, 7, 25),
        (23, "decision.gates.1.gate", "plan_includes_feature", 4, 24),
        (23, "decision.gates.1.passed", True, 4, 24),
        (23, "decision.gates.1.evidence.used", 98, 4, 24),
        (23, "events", granted, 1, 23),
        (23, "refusal.reason", "stale", 4, 24),
        (23, "refusal.detail", "", 4, 24),
        (23, "refusal.next_step", "", 4, 24),
        (1, "policy", "0" * 64, 4, 2),
        (50, "policy", "0" * 64, 8, 50),
    ):
        line = parse_line(lines[seq - 1].encode())
        body = canonical(changed(json.loads(line.body), path.split("."), value))
        name = f"{path} of receipt {seq} is {json.dumps(value)}"
        forged = reply(body, digest(body), line.parts).decode()
        kept = reply(body, line.hash, line.parts).decode()
        yield mutation(f"{name}, hash made again", path, {seq: forged}, step, at)
        yield mutation(f"{name}, hash kept", path, {seq: kept}, step if step in (1, 3) or path == "tenant" else 4, seq)


def changed(members: Any, path: list[str], value: Any) -> Any:
    name: Any = int(path[0]) if isinstance(members, list) else path[0]
    members[name] = value if len(path) == 1 else changed(members[name], path[1:], value)
    return members


def spellings(lines: list[str]) -> Iterator[Mutation]:
    """Receipt 21 written as no sealer writes it, its hash made again."""
    body = parse_line(lines[20].encode()).body.decode()
    for name, old, new, step in (
        ("a member that version 1 does not have", '"v":1', '"v":1,"w":1', 2),
        ("a member twice", '"v":1', '"v":1,"v":1', 2),
        (
            "members out of order",
            '"trace":"' + TRACE + '","type":"transition"',
            '"type":"transition","trace":"' + TRACE + '"',
            2,
        ),
        ("a member missing", f'"policy":"{POLICY}",', "", 1),
        ("a member that is null", f'"trace":"{TRACE}"', '"trace":null', 1),
        ("a refusal in a transition", '"seq":21', '"refusal":' + canonical(REFUSAL).decode() + ',"seq":21', 1),
        ("a time without its microseconds", ':21.123456Z"', ':21Z"', 1),
        ("a space", '"v":1', '"v": 1', 2),
        ("a line feed at the end", '"v":1}', '"v":1}\n', 2),
        ("a byte order mark", '{"cause"', '\ufeff{"cause"', 1),
        ("an escape that is not needed", '"robot"', '"\\u0072obot"', 2),
        ("a float", '"amount":1', '"amount":1.5', 1),
        ("a float that is whole", '"amount":1', '"amount":1.0', 1),
        ("an exponent", '"amount":1', '"amount":1e0', 1),
        ("a negative zero", '"amount":1', '"amount":-0', 2),
        ("2^53", '"amount":1', f'"amount":{2**53}', 2),
        ("-2^53", '"amount":1', f'"amount":{-(2**53)}', 2),
        ("2^63", '"amount":1', f'"amount":{2**63}', 2),
        ("2^70", '"amount":1', f'"amount":{2**70}', 2),
        ("NaN", '"amount":1', '"amount":NaN', 1),
        ("a lone surrogate", '"robot"', '"\\ud800"', 1),
        ("a key beyond ASCII", '"amount":1', '"amount":1,"é":1', 1),
        ("seventeen containers deep", '"amount":1', '"amount":' + canonical(nested(14)).decode(), 1),
    ):
        assert body.count(old) == 1, (name, old)
        spelt = body.replace(old, new).encode()
        yield mutation(f"receipt 21 with {name}", "", {21: reply(spelt, digest(spelt), ()).decode()}, step, 21)


def outside(lines: list[str]) -> Iterator[Mutation]:
    """What stands beside the body changed, and lines moved."""
    present, (own,) = lines[24], parse_line(lines[24].encode()).parts
    salt, other = own.salt.hex(), part(24, "metadata", b"").salt.hex()
    zeros = present.replace(digest(parse_line(present.encode()).body), GENESIS)
    yield mutation("the hash beside receipt 25 is another", "hash", {25: zeros}, 4, 25)
    yield mutation("the salt of receipt 25 is another", "parts", {25: present.replace(salt, other)}, 7, 25)
    yield mutation("the salt of receipt 25 is short", "parts", {25: present.replace(salt, salt[2:])}, 7, 25)
    slid = present.replace(f'{salt}","text":"{{', f'{salt}7b","text":"')
    yield mutation("the first byte of the text of receipt 25 slid into its salt", "parts", {25: slid}, 7, 25)
    yield mutation("the text of receipt 25 is another", "parts", {25: present.replace("A-17", "A-18")}, 7, 25)
    renamed = present.replace('"parts":{"metadata"', '"parts":{"reason"')
    yield mutation("the part of receipt 25 has another name", "parts", {25: renamed}, 7, 25)
    moved = lines[23][:-1] + present[present.index(',"parts"') :]
    yield mutation("the part of receipt 25 stands beside receipt 24", "parts", {24: moved}, 7, 24)
    yield mutation("the first receipt is missing", "", {1: None}, 8, 1)
    yield mutation("receipt 25 is missing", "", {25: None}, 3, 25)
    yield mutation("receipt 25 stands there twice", "", {26: present}, 3, 26)
    yield mutation("receipts 25 and 26 changed places", "", {25: lines[25], 26: present}, 3, 25)
    yield mutation("the last receipt is missing", "", {50: None}, 8, 49)
    yield mutation("receipt 25 is cut", "", {25: present[:-1]}, 1, 25)
    yield mutation("receipt 25 is followed by a space", "", {25: present + " "}, 1, 25)


def mutation(name: str, field: str, lines: dict[int, str | None], step: int, at: int) -> Mutation:
    return {"name": name, "field": field, "lines": {str(n): line for n, line in lines.items()}, "step": step, "seq": at}


def mutations() -> list[Mutation]:
    lines = export()
    return [*fields(lines), *spellings(lines), *outside(lines)]


def described(name: str, receipt: Receipt, parts: tuple[Part, ...]) -> dict[str, Any]:
    return {
        "name": name,
        "line": reply(receipt.body, receipt.hash, parts).decode(),
        "hash": receipt.hash,
        "claims": receipt.claims,
        "parts": [{"name": each.name, "salt": each.salt.hex(), "text": each.text.decode()} for each in parts],
    }


STATE = '{"plan":"professional","quotas":{"api_calls":"q\\"b\\\\s € 😂"}}'.encode()


def archive() -> bytes:
    """What an archive holds of a ledger: receipt 2 commits to a part, which stays in the store."""
    head: Receipt | None = None
    lines = []
    for seq in range(1, 5):
        beside = {"commits": commits(part(2, "metadata", METADATA))} if seq == 2 else {}
        head = sealed(seq, head.hash if head else GENESIS, **beside)
        lines.append(reply(head.body, head.hash, ()) + b"\n")
    return b"".join(lines)


def based() -> bytes:
    """What goes on behind it; its first line brings along where the ledger begins, and its last says so."""
    lines = archive()
    last = indexed_line(lines.splitlines()[-1])
    snapshot = Snapshot(last.seq, last.ledger, last.hash, last.time, 2, STATE)
    base = Base(snapshot, sha256(lines).hexdigest())
    fifth = sealed(5, last.hash)
    said = {
        "type": "LedgerArchived",
        "first_seq": 1,
        "through_seq": 4,
        "hash": last.hash,
        "state_digest": sha256(STATE).hexdigest(),
        "archive_digest": base.archive,
    }
    sixth = sealed(6, fifth.hash, subject=("ledger", LEDGER), decision={}, events=[said])
    return reply(fifth.body, fifth.hash, (), base=base) + b"\n" + reply(sixth.body, sixth.hash, ()) + b"\n"


def indexed_line(text: bytes) -> Receipt:
    return receipt_of(parse_line(text).body)


def files() -> dict[str, bytes]:
    """Every frozen file by name, with the bytes that it must have."""
    return {
        "receipts.json": pretty([described(*single) for single in singles()]),
        "chain.jsonl": "".join(line + "\n" for line in export()).encode(),
        "mutations.json": pretty(mutations()),
        "archive.jsonl": archive(),
        "based.jsonl": based(),
    }


def pretty(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=True) + "\n").encode()


def main() -> None:
    for name, content in files().items():
        (HERE / name).write_bytes(content)


if __name__ == "__main__":
    main()
