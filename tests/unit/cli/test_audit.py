"""`audit export` leaves a receipt of who took what, or no bundle."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.exports import CommandLine, ledger

from tai_autonomics.cli import audit, bundling

SINCE = ("--since", "2026-11-01T00:00:00Z")


def export(cli: CommandLine, directory: str, *arguments: str) -> int:
    return cli("audit", "export", "acme", *SINCE, "-o", directory, "--json", *arguments)


def newest(cli: CommandLine) -> dict[str, Any]:
    assert cli("receipts", "show", "-t", "acme", "--json") == 0
    (document,) = cli.documents
    return document


def test_who_took_which_bundle_is_a_receipt_on_the_tenants_ledger(stored: CommandLine) -> None:
    assert export(stored, "bundle", "--reason", "yearly audit") == 0
    (said,) = stored.documents
    head = ledger("acme", 3)[-1].hash
    manifest = (stored.directory / "bundle" / "manifest.json").read_bytes()
    receipt = newest(stored)
    assert (receipt["receipt"]["seq"], receipt["hash"], receipt["receipt"]["prev"]) == (4, said["hash"], head)
    assert receipt["receipt"]["cause"]["by"] == "command-line"
    assert receipt["receipt"]["subject"]["kind"] == "ledger"
    event, *_ = receipt["receipt"]["events"]
    assert event == {
        "type": "AuditExported",
        "since": "2026-11-01T00:00:00.000000Z",
        "until": said["manifest"]["until"],
        "receipts": 3,
        "head_seq": 3,
        "head_hash": head,
        "manifest_digest": sha256(manifest).hexdigest(),
    }
    assert json.loads(receipt["parts"]["reason"]["text"]) == "yearly audit"
    assert stored("receipts", "verify", "-q") == 0
    assert stored("receipts", "replay", "-q") == 0
    assert stored("receipts", "explain", "acme", "4") == 0
    assert f"3 in all, up to the head 3 ({head}). Its manifest has the SHA-256 " in stored.out


def test_the_next_bundle_shows_the_one_before(stored: CommandLine) -> None:
    assert export(stored, "first") == 0
    assert export(stored, "second") == 0
    assert stored("audit", "verify", "second", "--head", newest(stored)["receipt"]["prev"]) == 0
    lines = (stored.directory / "second" / "receipts.jsonl").read_bytes().splitlines()
    (event, *_) = json.loads(lines[-1])["receipt"]["events"]
    assert (len(lines), event["type"], event["head_seq"]) == (4, "AuditExported", 3)


class Cut(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("step", ["note", "put"])
def test_there_is_no_bundle_without_a_receipt(stored: CommandLine, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Cut before it is sealed, and while its manifest is written."""

    def cut(*arguments: Any, **named: Any) -> Any:
        raise Cut

    monkeypatch.setattr(audit, "_note", cut) if step == "note" else monkeypatch.setattr(bundling, "put", cut)
    with pytest.raises(Cut):
        export(stored, "bundle")
    assert not list(stored.directory.glob("bundle*"))
    assert newest(stored)["receipt"]["seq"] == 3


def test_a_directory_that_is_there_leaves_no_receipt(stored: CommandLine) -> None:
    (stored.directory / "bundle").mkdir()
    (stored.directory / "bundle" / "mine").write_text("")
    assert export(stored, "bundle") == 2
    assert newest(stored)["receipt"]["seq"] == 3
    assert Path("bundle/mine").exists()
