"""`backup`, `restore`, `backup drill`: what is copied comes back whole, says so, and stays erased."""

import json
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.cli.exports import CommandLine, exported, ledger

from tai_autonomics.stores.sqlite.files import claim


def backed_up(cli: CommandLine, *options: str | Path) -> Path:
    assert cli("backup", "--json", *options) == 0, cli.err
    return cli.directory / str(cli.documents[0]["manifest"])


def lines_of(cli: CommandLine, tenant: str) -> list[dict[str, object]]:
    assert cli("receipts", "list", "-t", tenant, "--json") == 0, cli.err
    return [each["receipt"] for each in cli.documents]


def test_a_backup_is_a_file_and_its_manifest_for_our_eyes_alone(stored: CommandLine) -> None:
    manifest = backed_up(stored)
    content = json.loads(manifest.read_bytes())
    file = manifest.with_name(content["file"])
    assert {name: content[name] for name in ("v", "store", "schema", "ledgers", "receipts", "newest")} == {
        "v": 1,
        "store": "sqlite",
        "schema": 1,
        "ledgers": 2,
        "receipts": 5,
        "newest": "2026-11-24T02:01:33.123456Z",
    }
    assert {each.name for each in manifest.parent.iterdir()} == {file.name, manifest.name}
    assert stat.S_IMODE(manifest.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in (file, manifest)} == {0o600}
    assert content["bytes"] == file.stat().st_size
    assert stored("receipts", "verify", "--store", f"sqlite:///{file}", "-q") == 0


def test_every_ledger_that_comes_back_says_so_first(stored: CommandLine) -> None:
    manifest = backed_up(stored)
    heads = {tenant: lines_of(stored, tenant)[-1] for tenant in ("acme", "bob")}
    (stored.directory / "data" / "tai.db").unlink()
    assert stored("restore", "--json") == 0, stored.err
    document = stored.documents[0]
    assert (document["manifest"], document["ledgers"], document["receipts"], document["erased"], document["aside"]) == (
        str(manifest.relative_to(stored.directory)),
        2,
        5,
        0,
        None,
    )
    for tenant, head in heads.items():
        *before, restored = lines_of(stored, tenant)
        assert before[-1] == head
        (event, _) = restored["events"]  # the shipped plans know the plan that the ledger's plans file did
        assert event == {"type": "LedgerRestored", "head": {"seq": head["seq"], "hash": restored["prev"]}}
        assert restored["subject"] == {"kind": "ledger", "id": head["ledger"]}
    assert stored("receipts", "verify", "-q") == 0
    assert stored("receipts", "replay", "-q") == 0


def test_a_store_that_holds_receipts_is_not_overwritten_unless_asked_and_then_moved_aside(stored: CommandLine) -> None:
    backed_up(stored)
    longer = exported(stored.directory / "more.jsonl", ledger("acme", 5))
    assert stored("receipts", "import", longer, "-q") == 0
    assert stored("restore") == 69
    assert "holds receipts: --replace" in stored.err
    assert len(lines_of(stored, "acme")) == 5
    assert stored("restore", "--replace", "--json") == 0, stored.err
    aside = stored.documents[0]["aside"]
    assert [each["seq"] for each in lines_of(stored, "acme")] == [1, 2, 3, 4]
    assert stored("receipts", "list", "-t", "acme", "--store", f"sqlite:///{aside}", "--json") == 0
    assert len(stored.documents) == 5


def test_the_journal_of_a_file_that_is_lost_is_not_taken_for_that_of_the_one_that_comes_back(
    stored: CommandLine,
) -> None:
    backed_up(stored)
    file = stored.directory / "data" / "tai.db"
    journal = file.with_name("tai.db-wal")
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("DELETE FROM receipts WHERE tenant = 'bob'")
        left = journal.read_bytes()
    file.unlink()
    journal.write_bytes(left)
    assert stored("restore", "-q") == 0, stored.err
    assert [each["seq"] for each in lines_of(stored, "bob")] == [1, 2, 3]


def test_nothing_is_restored_where_a_service_runs(stored: CommandLine) -> None:
    backed_up(stored)
    with closing(open(claim(stored.directory / "data" / "tai.db"), "rb")):
        assert stored("restore", "--replace") == 69
    assert "another process writes" in stored.err


def test_a_part_that_was_erased_since_stays_erased(stored: CommandLine) -> None:
    older = backed_up(stored)
    assert stored("receipts", "erase", "-t", "acme", "--seq", "1", "--part", "metadata", "-q") == 0
    backed_up(stored)
    assert (older.parent / "erasures.jsonl").read_text().count("\n") == 1
    file = stored.directory / "data" / "tai.db"
    assert older.with_suffix(".db").read_bytes().count(b"O-1") == 2
    file.unlink()
    assert stored("restore", older, "--json") == 0, stored.err
    assert stored.documents[0]["erased"] == 1
    assert file.read_bytes().count(b"O-1") == 1  # bob's
    types = [[event["type"] for event in each["events"]] for each in lines_of(stored, "acme")[3:]]
    assert [each[0] for each in types] == ["LedgerRestored", "PartErased"]
    assert stored("receipts", "verify", "--tenant", "acme") == 0
    assert "1 erased" in stored.out


def test_what_the_store_in_the_place_had_erased_is_erased_too(stored: CommandLine) -> None:
    older = backed_up(stored)
    assert stored("receipts", "erase", "-t", "acme", "--seq", "1", "--part", "metadata", "-q") == 0
    assert stored("restore", "--replace", "--json") == 0, stored.err
    assert stored.documents[0]["erased"] == 1
    assert (older.parent / "erasures.jsonl").exists()


def test_an_erasure_is_not_applied_to_another_receipt_in_the_same_place(stored: CommandLine) -> None:
    manifest = backed_up(stored)
    erased = {"tenant": "acme", "seq": 1, "hash": "0" * 64, "name": "metadata"}
    (manifest.parent / "erasures.jsonl").write_text(json.dumps(erased) + "\n")
    assert stored("restore", "--replace", "--json") == 0, stored.err
    assert stored.documents[0]["erased"] == 0


def test_a_backup_that_was_changed_is_not_restored(stored: CommandLine) -> None:
    manifest = backed_up(stored)
    file = manifest.with_suffix(".db")
    file.write_bytes(file.read_bytes().replace(b'"plan":"free"', b'"plan":"fool"'))
    for command in (("restore", "--replace"), ("backup", "drill")):
        assert stored(*command) == 1
        assert "is not the file that its manifest names" in stored.err
    assert len(lines_of(stored, "acme")) == 3
    assert not [each for each in (stored.directory / "data").iterdir() if each.name.startswith(".")]


def test_a_chain_that_was_broken_before_the_backup_is_found_and_nothing_takes_its_place(stored: CommandLine) -> None:
    with closing(sqlite3.connect(stored.directory / "data" / "tai.db")) as connection, connection:
        connection.execute(
            "UPDATE receipts SET body = CAST(replace(body, 'free', 'fool') AS BLOB) WHERE tenant = 'bob' AND seq = 2"
        )
    backed_up(stored)
    (stored.directory / "data" / "tai.db").unlink()
    for command in (("restore",), ("backup", "drill")):
        assert stored(*command) == 1
        assert "receipt 2 of bob: step" in stored.err
    assert not (stored.directory / "data" / "tai.db").exists()


def test_a_drill_measures_and_leaves_the_live_store_alone(stored: CommandLine) -> None:
    backed_up(stored)
    file = stored.directory / "data" / "tai.db"
    before = file.read_bytes()
    assert stored("backup", "drill", "--json") == 0, stored.err
    document = stored.documents[0]
    assert (document["met"], document["ledgers"], document["receipts"]) == (True, 2, 5)
    assert 0 < document["rto_seconds"] < 60
    assert document["rpo_seconds"] == 0
    assert file.read_bytes() == before
    assert {each.name for each in file.parent.iterdir()} >= {"tai.db", "backups"}
    assert not [each for each in file.parent.iterdir() if each.name.startswith(".")]


@pytest.mark.parametrize(
    ("option", "said"),
    [("--rto", "missed: the restore took too long\n"), ("--rpo", "missed: the newest backup is too old\n")],
)
def test_a_drill_that_misses_its_target_ends_in_1(stored: CommandLine, option: str, said: str) -> None:
    backed_up(stored)
    assert stored("receipts", "erase", "-t", "acme", "--seq", "1", "--part", "metadata", "-q") == 0
    assert stored("backup", "drill", option, "0") == 1
    assert stored.err == said


def test_without_a_backup_there_is_nothing_to_restore(stored: CommandLine) -> None:
    for command in (("restore", "--replace"), ("backup", "drill")):
        assert stored(*command) == 1
        assert "no backup is there" in stored.err
    (stored.directory / "x.json").write_text("{}")
    assert stored("restore", "x.json", "--replace") == 1
    assert "is not a backup's manifest" in stored.err


def test_a_store_that_is_not_there_is_not_backed_up(cli: CommandLine) -> None:
    assert cli("backup") == 69
    assert not list((cli.directory / "data" / "backups").iterdir())
