"""Verifies an export of receipts (FILE or standard input) with nothing but Python. Exit status 1: broken."""

import fileinput
import json
import sys
from hashlib import sha256


def verify(line, heads, bases, met):
    shown, receipt = json.loads(line), json.loads(body := line.removeprefix(b'{"receipt":').rpartition(b',"hash":"')[0])
    head = {name: receipt[name] for name in ("ledger", "seq", "time")} | {"hash": sha256(body).hexdigest()}
    start, tenant = {"ledger": head["ledger"], "seq": 0, "time": "", "hash": "0" * 64}, receipt["tenant"]
    if base := shown.get("base"):  # the receipts before it rest in an archive, and a receipt after it must say so
        start, state = {name: base[name] for name in start}, sha256(base["state"].encode()).hexdigest()
        bases |= set() if tenant in heads else {(tenant, base["seq"], base["hash"], state, base["archive"])}
    last, parts, plans = heads.get(tenant, start), shown.get("parts", {}), shown.get("plans")
    salted = {name: bytes.fromhex(part["salt"]) + part["text"].encode() for name, part in parts.items()}
    opened = {name: sha256(b"tai/commit/v1\0" + text).hexdigest() for name, text in salted.items()}
    pairs = (receipt, True), (shown, False)
    forms = [json.dumps(each, sort_keys=s, separators=(",", ":"), ensure_ascii=False).encode() for each, s in pairs]
    wrong = {
        "is not canonical": (*forms, receipt["v"]) != (body, line, 1),
        "is not the next of its ledger": (head["seq"], head["ledger"]) != (last["seq"] + 1, last["ledger"]),
        "is not linked": (receipt["prev"], shown["hash"]) != (last["hash"], head["hash"]),
        "goes back in time, or not on from its base": head["time"] < last["time"] or (base and start != last),
        "has foreign plans": plans is not None and sha256(plans.encode()).hexdigest() != receipt["policy"],
        "has a foreign part": any(len(parts[n]["salt"]) != 64 or receipt["commits"].get(n) != opened[n] for n in parts),
    }
    for what in filter(wrong.get, wrong):
        sys.exit(f"receipt {head['seq']} of {tenant} {what}")
    heads[tenant] = head
    met |= {(tenant, *map(e.get, ("through_seq", "hash", "state_digest", "archive_digest"))) for e in receipt["events"]}


seen = {}, set(), set()  # heads by tenant, bases that ledgers begin with, what receipts say was archived
with fileinput.input(mode="rb") as export:
    for exported in export:
        verify(exported.removesuffix(b"\n"), *seen)
print(json.dumps(seen[0], indent=1))  # compare each head with a receipt that you hold: a cut tail shows nowhere else
sys.exit(f"of this base no receipt says that it was archived: {seen[1] - seen[2]}") if seen[1] - seen[2] else None
