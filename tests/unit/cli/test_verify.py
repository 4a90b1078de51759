"""`receipts verify`: 0 verified, 1 broken, 2 cannot tell, and which head that rests on."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.cli.exports import CommandLine, exported, ledger, lines

from tai_autonomics.ledger.lines import LINE_BYTES_MAX

OTHER = "01JD0000000000000000000001"


def test_an_export_verifies_and_says_what_it_trusted(cli: CommandLine) -> None:
    acme = ledger("acme", 3)
    file = exported(cli.directory / "x.jsonl", acme)
    assert cli("receipts", "verify", file) == 0
    assert cli.out.splitlines()[0] == (
        f"acme: verified 3 receipts, head 3 {acme[-1].hash},"
        " trusting its last receipt: a cut tail shows only against --head; parts 1 opened"
    )
    assert cli("receipts", "verify", file, "--head", acme[-1].hash) == 0
    assert f"head 3 {acme[-1].hash}, the head that you gave" in cli.out


def test_json_has_a_document_for_each_ledger(cli: CommandLine) -> None:
    acme, bob = ledger("acme", 3), ledger("bob", 1, ledger=OTHER)
    file = exported(cli.directory / "x.jsonl", acme, bob, parts=False)
    assert cli("receipts", "verify", file, "--json", "--head", f"bob={bob[-1].hash}") == 0
    head = {"ledger": OTHER, "seq": 1, "hash": bob[-1].hash, "time": bob[-1].time}
    assert [each["tenant"] for each in cli.documents] == ["acme", "bob"]
    assert cli.documents[1] == {
        "tenant": "bob",
        "verified": True,
        "receipts": 1,
        "head": head,
        "trusted": "given",
        "opened": {},
        "erased": {"metadata": 1},
        "after": 0,
    }


def test_quiet_prints_nothing(cli: CommandLine) -> None:
    file = exported(cli.directory / "x.jsonl", ledger())
    assert (cli("receipts", "verify", file, "--quiet"), cli.out, cli.err) == (0, "", "")


def test_standard_input_is_read_for_a_dash(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.TextIOWrapper(io.BytesIO(b"".join(lines(ledger()))))
    monkeypatch.setattr("sys.stdin", text)
    assert cli("receipts", "verify", "-") == 0


TAMPERED: dict[str, tuple[Callable[[list[bytes]], bytes], int, int]] = {
    "a receipt is taken out": (lambda text: text[0] + text[2], 2, 3),
    "the beginning is taken away": (lambda text: text[1] + text[2], 1, 8),
    "a value is changed": (lambda text: text[0] + text[1].replace(b'"by":"me"', b'"by":"we"'), 2, 4),
    "a part is changed": (lambda text: text[0].replace(b"O-1", b"O-2"), 1, 7),
    "a blank is put in": (lambda text: text[0] + text[1].replace(b'"v":1', b'"v": 1'), 2, 2),
    "an empty line is put in": (lambda text: text[0] + b"\n" + text[1], 2, 1),
}


@pytest.mark.parametrize("tampering", TAMPERED)
def test_a_tampered_export_is_broken_at_its_receipt_and_step(cli: CommandLine, tampering: str) -> None:
    tampered, seq, step = TAMPERED[tampering]
    file = cli.directory / "x.jsonl"
    file.write_bytes(tampered(lines(ledger())))
    assert cli("receipts", "verify", file, "--json") == 1
    broken = cli.documents[0]
    assert (broken["verified"], broken["seq"], broken["step"]) == (False, seq, step)
    assert cli.err.startswith(f"broken: receipt {seq} of ")
    assert f": step {step}: " in cli.err


def test_a_cut_tail_shows_against_the_head_alone(cli: CommandLine) -> None:
    acme = ledger("acme", 3)
    file = exported(cli.directory / "x.jsonl", acme[:2])
    assert cli("receipts", "verify", file) == 0
    assert cli("receipts", "verify", file, "--head", acme[2].hash) == 1
    assert "receipt 2 of acme: step 8: the last hash is" in cli.err
    assert "earlier receipt" not in cli.err
    assert cli("receipts", "verify", file, "--head", f"bob={acme[2].hash}") == 1
    assert cli.err == "broken: receipt 1 of bob: step 8: there is no receipt\n"


@pytest.mark.parametrize("prefix", ["", "acme="])
def test_a_head_that_the_ledger_has_passed_is_named_as_such(cli: CommandLine, prefix: str) -> None:
    acme = ledger("acme", 3)
    file = exported(cli.directory / "x.jsonl", acme)
    assert cli("receipts", "verify", file, "--head", f"{prefix}{acme[1].hash}") == 1
    assert "which is an earlier receipt of it" in cli.err


def test_without_receipts_nobody_can_tell(cli: CommandLine) -> None:
    empty = cli.directory / "empty.jsonl"
    empty.touch()
    assert cli("receipts", "verify", empty) == 2
    assert cli("receipts", "verify", empty, "--head", "0" * 64) == 2
    assert cli("receipts", "verify", "missing.jsonl") == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("x.jsonl", "--head", "abc"),
        ("x.jsonl", "--head", "A" * 64),
        ("x.jsonl", "--head", "0" * 64, "--head", "bob=" + "0" * 64),
        ("x.jsonl", "--head", "0" * 64),
        ("x.jsonl", "--tenant", "acme"),
        ("x.jsonl", "--store", "sqlite:///x.db"),
        ("x.jsonl", "--head", "a/b=" + "0" * 64),
    ],
)
def test_what_cannot_be_meant_is_usage(cli: CommandLine, arguments: tuple[str, ...]) -> None:
    exported(cli.directory / "x.jsonl", ledger("acme"), ledger("bob", ledger=OTHER))
    assert cli("receipts", "verify", *arguments) == 2


def test_a_line_longer_than_a_line_may_be_is_broken_and_not_read_whole(cli: CommandLine) -> None:
    file = cli.directory / "x.jsonl"
    file.write_bytes(b"x" * (LINE_BYTES_MAX + 1))
    assert cli("receipts", "verify", file) == 1
    assert "is longer than" in cli.err


def test_a_store_verifies_ledger_by_ledger(stored: CommandLine) -> None:
    acme = ledger("acme", 3)
    assert stored("receipts", "verify", "--json") == 0
    assert [(each["tenant"], each["receipts"]) for each in stored.documents] == [("acme", 3), ("bob", 2)]
    assert stored("receipts", "verify", "--tenant", "acme", "--head", acme[-1].hash) == 0
    assert "the head that you gave; parts 1 opened" in stored.out
    assert stored("receipts", "verify", "--tenant", "acme", "--head", acme[0].hash) == 1
    assert "which is an earlier receipt of it" in stored.err


def test_a_ledger_that_a_store_lacks_is_broken_only_if_its_head_is_known(stored: CommandLine) -> None:
    assert stored("receipts", "verify", "--tenant", "carol") == 2
    assert stored.err == "carol has no ledger\n"
    assert stored("receipts", "verify", "--tenant", "carol", "--head", "0" * 64) == 1
    assert stored("receipts", "verify", "--head", "carol=" + "0" * 64) == 1
    assert stored("receipts", "verify", "--head", "0" * 64) == 2


def test_a_broken_ledger_does_not_keep_the_others_from_being_verified(stored: CommandLine) -> None:
    spoil(stored.directory / "data" / "tai.db")
    assert stored("receipts", "verify", "--json") == 1
    assert [(each["tenant"], each["verified"]) for each in stored.documents] == [("acme", False), ("bob", True)]
    assert stored("receipts", "replay", "--json") == 1
    assert [(each["tenant"], each.get("agrees")) for each in stored.documents] == [("acme", None), ("bob", True)]
    assert stored("receipts", "export", "-o", "out.jsonl") == 1
    assert list(stored.directory.glob("*out.jsonl*")) == []


def spoil(database: Path) -> None:
    """What somebody with access to the file might do."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(database)) as connection, connection:
        changed = connection.execute(
            'UPDATE receipts SET body = CAST(replace(CAST(body AS TEXT), \'"by":"me"\', \'"by":"we"\') AS BLOB)'
            ' WHERE seq = 2 AND CAST(body AS TEXT) LIKE \'%"tenant":"acme"%\''
        )
        assert changed.rowcount == 1
