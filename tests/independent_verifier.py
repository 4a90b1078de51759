"""Verifies an export of receipts (FILE or standard input) with nothing but Python. Exit status 1: broken."""

import fileinput
import json
import sys
from hashlib import sha256


def verify(line, heads):
    body = line.removeprefix(b'{"receipt":').rpartition(b',"hash":"')[0]
    shown, receipt = json.loads(line), json.loads(body)
    head = {name: receipt[name] for name in ("ledger", "seq", "time")} | {"hash": sha256(body).hexdigest()}
    last = heads.get(receipt["tenant"], {"ledger": head["ledger"], "seq": 0, "hash": "0" * 64, "time": ""})
    parts = shown.get("parts", {})
    for wrong, what in (
        (written(receipt, sort_keys=True) != body or written(shown) != line or receipt["v"] != 1, "is not canonical"),
        (head["seq"] != last["seq"] + 1 or head["ledger"] != last["ledger"], "is not the next of its ledger"),
        (receipt["prev"] != last["hash"] or shown["hash"] != head["hash"], "is not linked"),
        (head["time"] < last["time"], "goes back in time"),
        ("plans" in shown and sha256(shown["plans"].encode()).hexdigest() != receipt["policy"], "has foreign plans"),
        (any(receipt["commits"].get(name) != commitment(**parts[name]) for name in parts), "has a foreign part"),
    ):
        if wrong:
            sys.exit(f"receipt {head['seq']} of {receipt['tenant']} {what}")
    heads[receipt["tenant"]] = head


def written(value, **options):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, **options).encode()


def commitment(salt, text):
    return len(salt) == 64 and sha256(b"tai/commit/v1\0" + bytes.fromhex(salt) + text.encode()).hexdigest()


tenants = {}
with fileinput.input(mode="rb") as export:
    for exported in export:
        verify(exported.removesuffix(b"\n"), tenants)
print(json.dumps(tenants, indent=1))  # compare each head with a receipt that you hold: a cut tail shows nowhere else
