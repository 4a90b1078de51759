"""`backup`, `restore`, `backup drill`, `backup prune`: what is copied comes back whole, says so, and stays erased."""

import json
import sqlite3
import stat
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.unit.cli.exports import CommandLine, exported, ledger

from tai_autonomics.application.restoring import Restoring
from tai_autonomics.cli.shelf import name_of
from tai_autonomics.domain.moments import moment_of
from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.ledger.records import Erased, Head
from tai_autonomics.stores.sqlite import SQLiteStore
from tai_autonomics.stores.sqlite.files import claim
from tai_autonomics.wiring import erasures


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
        "schema": 3,
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


def types_of(cli: CommandLine, tenant: str) -> list[object]:
    return [each["events"][0]["type"] for each in lines_of(cli, tenant)]  # type: ignore[index]


def test_the_list_of_erasures_is_kept_up_to_date_without_a_copy(stored: CommandLine) -> None:
    assert stored("backup", "--erasures-only", "--json") == 0, stored.err
    assert stored.documents[0] == {"directory": "data/backups", "named": 0, "erasures": 0}
    assert stored("receipts", "erase", "-t", "acme", "--seq", "1", "--part", "metadata", "-q") == 0
    for _ in range(2):
        assert stored("backup", "--erasures-only", "--json") == 0, stored.err
        assert stored.documents[0] == {"directory": "data/backups", "named": 1, "erasures": 1}
    assert {each.name for each in (stored.directory / "data" / "backups").iterdir()} == {"erasures.jsonl"}


def test_a_store_that_was_brought_back_by_other_means_is_made_fit_in_its_place(stored: CommandLine) -> None:
    file = stored.directory / "data" / "tai.db"
    copy = file.read_bytes()
    assert stored("receipts", "erase", "-t", "acme", "--seq", "1", "--part", "metadata", "-q") == 0
    assert stored("backup", "--erasures-only", "-q") == 0
    file.write_bytes(copy)
    assert stored("restore", "--in-place", "--json") == 0, stored.err
    assert (document := stored.documents[0]).pop("seconds") >= 0  # type: ignore[operator]
    assert document == {"ledgers": 2, "receipts": 5, "erased": 1}
    assert types_of(stored, "acme")[3:] == ["LedgerRestored", "PartErased"]
    assert types_of(stored, "bob")[2:] == ["LedgerRestored"]
    assert stored("receipts", "verify", "-q") == 0
    assert {each.name for each in (file.parent / "backups").iterdir()} == {"erasures.jsonl"}


def test_making_fit_that_was_cut_short_says_nothing_twice_when_it_is_repeated(
    stored: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = stored.directory / "data" / "tai.db"
    copy = file.read_bytes()
    assert stored("receipts", "erase", "-t", "acme", "--seq", "1", "--part", "metadata", "-q") == 0
    assert stored("backup", "--erasures-only", "-q") == 0
    file.write_bytes(copy)

    async def cut(*_: object) -> bool:
        raise StoreUnavailable("cut")

    with monkeypatch.context() as patched:
        patched.setattr(Restoring, "_erase", cut)
        assert stored("restore", "--in-place") == 69
    assert types_of(stored, "acme")[3:] == ["LedgerRestored"]
    assert stored("restore", "--in-place", "-q") == 0, stored.err
    assert types_of(stored, "acme")[3:] == ["LedgerRestored", "PartErased"]
    assert types_of(stored, "bob")[2:] == ["LedgerRestored"]
    assert stored("restore", "--in-place", "-q") == 0, stored.err
    assert types_of(stored, "bob")[2:] == ["LedgerRestored"] * 2, "another restoration is said again"


def test_nothing_is_made_fit_without_a_list_of_erasures(stored: CommandLine) -> None:
    assert stored("restore", "--in-place") == 1
    assert "no list of erasures is there" in stored.err
    assert stored("restore", "--in-place", "--replace") == 2
    assert len(lines_of(stored, "bob")) == 2


def test_a_copy_whose_heads_are_of_another_moment_is_not_made_fit(
    stored: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stored("backup", "--erasures-only", "-q") == 0

    async def heads(_: object, tenants: Sequence[str]) -> dict[str, Head]:
        return {tenant: Head("", 2, "", "") for tenant in tenants}

    with monkeypatch.context() as patched:
        patched.setattr(SQLiteStore, "heads", heads)
        assert stored("restore", "--in-place") == 1
    assert stored.err == "tai-autonomics: acme: the last receipt is 3, its head names receipt 2: not of one moment\n"
    assert len(lines_of(stored, "acme")) == 3


def test_an_erasure_is_on_the_list_at_once_where_backups_have_a_directory(
    stored: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = stored.directory / "kept"
    monkeypatch.setenv("TAI_BACKUPS_DIR", str(kept))
    assert stored("backup", "-q") == 0, stored.err
    assert stored("receipts", "erase", "-t", "acme", "--seq", "1", "--part", "metadata", "-q") == 0, stored.err
    (stored.directory / "data" / "tai.db").unlink()
    assert stored("restore", "--json") == 0, stored.err
    assert stored.documents[0]["erased"] == 1
    assert (kept / "erasures.jsonl").exists()


def test_an_erasure_whose_line_cannot_be_written_is_done_and_said(
    stored: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stored.directory / "kept").write_text("a file")
    monkeypatch.setenv("TAI_BACKUPS_DIR", str(stored.directory / "kept"))
    assert stored("receipts", "erase", "-t", "acme", "--seq", "1", "--part", "metadata") == 0
    assert "not on the list of erasures until the next backup" in stored.err


def test_a_line_of_the_list_that_was_cut_short_is_not_one_of_it(tmp_path: Path) -> None:
    one, two = Erased("acme", 1, "a", "metadata"), Erased("acme", 2, "b", "metadata")
    erasures.note(tmp_path, one)
    with (tmp_path / "erasures.jsonl").open("ab") as file:
        file.write(b'{"tenant":"ac')
    assert erasures.read(tmp_path) == (one,)
    erasures.note(tmp_path, two)
    assert erasures.add(tmp_path, [one, two]) == (one, two)
    assert (tmp_path / "erasures.jsonl").read_bytes().count(b"\n") == 2


def several(cli: CommandLine, *days: int) -> Path:
    """Backups of so many days ago, and a list of erasures."""
    assert cli("backup", "-q") == 0, cli.err
    directory = cli.directory / "data" / "backups"
    (manifest,) = directory.glob("*.json")
    content, file = json.loads(manifest.read_bytes()), manifest.with_suffix(".db")
    for ago in days:
        time = moment_of(datetime.now(UTC) - timedelta(days=ago))
        name = name_of(time)
        (directory / f"{name}.db").write_bytes(file.read_bytes())
        (directory / f"{name}.json").write_text(json.dumps({**content, "time": time, "file": f"{name}.db"}))
    manifest.unlink()
    file.unlink()
    (directory / "erasures.jsonl").write_bytes(b"")
    return directory


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (("--keep", "2"), 2),
        (("--keep", "9"), 4),
        (("--keep-days", "4"), 2),
        (("--keep-days", "1"), 1),
        (("--keep", "3", "--keep-days", "1"), 3),
        (("--keep", "1", "--keep-days", "6"), 3),
    ],
)
def test_what_no_option_keeps_is_pruned_but_never_the_newest_or_the_list(
    stored: CommandLine, options: tuple[str, ...], kept: int
) -> None:
    directory = several(stored, 9, 5, 3, 2)
    newest = sorted(directory.glob("*.json"))[-kept:]
    assert stored("backup", "prune", *options, "--json") == 0, stored.err
    assert (stored.documents[0]["kept"], len(stored.documents[0]["deleted"])) == (kept, 4 - kept)  # type: ignore[arg-type]
    left = {path.name for manifest in newest for path in (manifest, manifest.with_suffix(".db"))}
    assert {each.name for each in directory.iterdir()} == {*left, "erasures.jsonl"}
    assert stored("restore", "--replace", "-q") == 0, stored.err


def test_pruning_that_was_cut_short_is_finished_by_the_next(stored: CommandLine) -> None:
    directory = several(stored, 9, 5)
    sorted(directory.glob("*.db"))[0].unlink()
    assert stored("backup", "prune", "--keep", "1", "-q") == 0, stored.err
    assert len(list(directory.iterdir())) == 3


def test_pruning_asks_what_to_keep(stored: CommandLine) -> None:
    directory = several(stored, 9)
    assert stored("backup", "prune") == 2
    assert stored("backup", "prune", "--keep", "0") == 2
    assert len(list(directory.iterdir())) == 3
