"""Ledgers of one event each, as an export has them, and a place to run commands on them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tai_autonomics.cli.app import run
from tai_autonomics.ledger.commitment import commit
from tai_autonomics.ledger.lines import reply
from tai_autonomics.ledger.receipt import seal
from tai_autonomics.ledger.records import GENESIS, Part, Receipt

LEDGER = "01JD0000000000000000000000"
SALT = bytes(range(32))
METADATA = b'{"order":"O-1"}'


def ledger(
    tenant: str = "acme", count: int = 3, *, ledger: str = LEDGER, time: str = "2026-11-24T02:01:33.123456Z"
) -> list[Receipt]:
    """Verified again and again; the first receipt commits to a part."""
    receipts: list[Receipt] = []
    for seq in range(1, count + 1):
        events = [{"type": "EntitlementVerified", "entitlement_id": "ent_1", "plan": "free"}]
        if seq == 1:
            events = [{"type": "EntitlementGranted", "entitlement_id": "ent_1", "plan": "free"}]
        receipts.append(
            seal(
                tenant=tenant,
                ledger=ledger,
                seq=seq,
                prev=receipts[-1].hash if receipts else GENESIS,
                time=time,
                type="transition",
                subject=("entitlement", "ent_1"),
                cause={"kind": "marketplace", "id": f"http:me:{seq}", "by": "me"},
                decision={"from": "none" if seq == 1 else "active", "to": "active"},
                events=events,
                refusal=None,
                policy="0" * 64,
                trace=None,
                commits={"metadata": commit(SALT, METADATA)} if seq == 1 else {},
                command_id=f"http:me:{seq}",
                claims=True,
            )
        )
    return receipts


def lines(receipts: list[Receipt], *, parts: bool = True) -> list[bytes]:
    return [
        reply(each.body, each.hash, [Part(1, "metadata", SALT, METADATA)] if parts and each.seq == 1 else []) + b"\n"
        for each in receipts
    ]


def exported(file: Path, *ledgers: list[Receipt], parts: bool = True) -> Path:
    file.write_bytes(b"".join(line for each in ledgers for line in lines(each, parts=parts)))
    return file


class CommandLine:
    """Runs command lines in this process, in an empty directory; keeps the last one's output."""

    def __init__(self, directory: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.directory, self._capture = directory, capture
        self.out = self.err = ""

    def __call__(self, *arguments: str | Path) -> int:
        self._capture.readouterr()
        status = run([str(each) for each in arguments])
        self.out, self.err = self._capture.readouterr()
        return status

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]
