"""`receipts archive`: files that verify, a receipt that says so, and only then are receipts dropped."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.exports import CommandLine, exported, ledger, lines

from tai_autonomics.application.archiving import Archiving
from tai_autonomics.cli import archiving
from tai_autonomics.stores.sqlite import SQLiteStore

OLD = "2024-05-06T07:08:09.000000Z"
BOB, CAROL = "01JD0000000000000000000001", "01JD0000000000000000000002"


def young() -> str:
    """A day short of the horizon."""
    return f"{datetime.now(UTC) - timedelta(days=29):%Y-%m-%dT%H:%M:%S}.000000Z"


@pytest.fixture
def aged(cli: CommandLine) -> CommandLine:
    """A store with an old ledger of 8 receipts, one of 3, and one that is young."""
    file = exported(
        cli.directory / "given.jsonl",
        ledger("acme", 8, time=OLD),
        ledger("bob", 3, ledger=BOB, time=OLD),
        ledger("carol", 8, ledger=CAROL, time=young()),
    )
    assert cli("receipts", "import", file, "--quiet") == 0
    return cli


def archive(cli: CommandLine, *arguments: str | Path) -> int:
    return cli("receipts", "archive", "--at-least", "5", "--json", *arguments)


def left(cli: CommandLine, tenant: str = "acme") -> list[int]:
    assert cli("receipts", "list", "-t", tenant, "--json") == 0
    return [each["receipt"]["seq"] for each in cli.documents]


def files(cli: CommandLine) -> list[str]:
    return sorted(each.name for each in (cli.directory / "data" / "archives").iterdir())


FILE = "acme.0000000000000001-0000000000000008.jsonl"


def test_enough_old_receipts_go_into_a_file_and_out_of_the_store(aged: CommandLine) -> None:
    assert archive(aged) == 0
    (done,) = aged.documents
    file = aged.directory / "data" / "archives" / FILE
    assert (done["tenant"], done["first_seq"], done["through_seq"], done["dropped"]) == ("acme", 1, 8, 8)
    assert file.samefile(done["file"])
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_bytes() == b"".join(lines(ledger("acme", 8, time=OLD), parts=False))
    assert [left(aged, tenant) for tenant in ("acme", "bob", "carol")] == [[9], [1, 2, 3], [*range(1, 9)]]
    assert aged("receipts", "show", "-t", "acme", "--json") == 0
    (event, *_) = aged.documents[0]["receipt"]["events"]
    assert event["type"] == "LedgerArchived"
    assert (event["hash"], event["archive_digest"]) == (done["hash"], done["archive_digest"])


def test_what_is_left_verifies_from_its_base_and_with_the_file_from_the_first_receipt(aged: CommandLine) -> None:
    assert archive(aged) == 0
    file, rest = aged.directory / "data" / "archives" / FILE, aged.directory / "rest.jsonl"
    assert aged("receipts", "verify", "-t", "acme") == 0
    assert "acme: verified 1 receipt after its base, archived receipt 8, head 9" in aged.out
    assert aged("receipts", "export", "-t", "acme", "-o", rest, "--json") == 0
    assert aged.documents[0]["receipts"] == 1
    assert aged("receipts", "verify", file, rest) == 0
    assert "acme: verified 9 receipts, head 9" in aged.out
    assert aged("receipts", "verify", file, "-q") == 0
    assert aged("receipts", "verify", rest, file) == 1
    assert aged("receipts", "replay", "-t", "acme") == 0
    assert aged("tenants", "show", "acme", "--json") == 0
    assert aged.documents[0]["entitlements"][0]["status"] == "active"


def test_a_wrong_file_at_the_seam_is_refused(aged: CommandLine) -> None:
    assert archive(aged, "--through", "6", "-t", "acme") == 0
    rest = aged.directory / "rest.jsonl"
    assert aged("receipts", "export", "-t", "acme", "-o", rest, "-q") == 0
    for count in (5, 7):
        wrong = exported(aged.directory / "wrong.jsonl", ledger("acme", count, time=OLD), parts=False)
        assert aged("receipts", "verify", wrong, rest) == 1
        assert f"receipt {count + 1} of acme: step 4: the base beside it is receipt 6" in aged.err


def test_the_next_run_has_nothing_to_do_and_says_so(aged: CommandLine) -> None:
    assert archive(aged, "-q") == 0
    assert aged("receipts", "archive", "--at-least", "5") == 0
    assert aged.out == "nothing to archive: no ledger has 5 receipts older than 90 days and not to be kept any longer\n"
    assert (archive(aged), aged.out) == (0, "")
    assert files(aged) == [FILE]


def test_a_person_is_told_what_is_where(aged: CommandLine) -> None:
    assert aged("receipts", "archive", "--at-least", "5", "--write-only") == 0
    assert aged.out == f"acme: receipts 1 to 8 are in data/archives/{FILE}\n"
    assert left(aged) == [*range(1, 9)]
    assert aged("receipts", "archive", "--at-least", "5") == 0
    assert aged.out == f"acme: receipts 1 to 8 are in data/archives/{FILE}; 8 dropped\n"
    assert left(aged) == [9]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--older-than-days", "29"), "29"),
        (("--through", "3"), "--through goes with one --tenant"),
        (("--through", "3", "-t", "acme", "-t", "bob"), "--through goes with one --tenant"),
        (("--at-least", "0"), "0"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_done(
    aged: CommandLine, arguments: tuple[str, ...], says: str
) -> None:
    assert aged("receipts", "archive", *arguments) == 2
    assert says in aged.err
    assert not (aged.directory / "data" / "archives").exists()


def test_a_tenant_without_a_ledger_is_named(aged: CommandLine) -> None:
    assert archive(aged, "-t", "nobody") == 1
    assert aged.err == "tai-autonomics: nobody has no ledger\n"


def test_a_part_of_an_archived_receipt_can_be_erased_and_the_receipt_says_where_it_is(aged: CommandLine) -> None:
    assert archive(aged, "-q") == 0
    assert aged("receipts", "show", "-t", "acme", "--seq", "1") == 1
    assert aged.err == "tai-autonomics: receipt 1 of acme is archived, as all are up to 8\n"
    assert aged("receipts", "show", "-t", "acme", "--seq", "10") == 1
    assert "its newest is 9" in aged.err
    assert aged("receipts", "erase", "-t", "acme", "--seq", "1", "--part", "reason") == 1
    assert aged("receipts", "erase", "-t", "acme", "--seq", "2", "--part", "metadata") == 1
    assert aged("receipts", "erase", "-t", "acme", "--seq", "1", "--part", "metadata") == 0
    assert left(aged) == [9, 10]
    assert aged("backup", "--erasures-only", "--json") == 0
    listed = [json.loads(line) for line in (aged.directory / "data/backups/erasures.jsonl").read_text().splitlines()]
    assert [(each["seq"], each["hash"]) for each in listed] == [(1, ledger("acme", 1, time=OLD)[0].hash)]


# ---- cut short, and files that are not what they must be


class Cut(BaseException):
    """The process ends here."""


def cut_at(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    async def cut(*arguments: Any, **named: Any) -> Any:
        raise Cut

    def cut_at_once(*arguments: Any, **named: Any) -> None:
        raise Cut

    match step:
        case "while the file is written":
            monkeypatch.setattr("tai_autonomics.application.archiving.reply", cut_at_once)
        case "before the file is durable":
            monkeypatch.setattr(archiving, "flush", cut_at_once)
        case "before it is sealed":
            monkeypatch.setattr(Archiving, "seal", cut)
        case "once it is sealed":
            monkeypatch.setattr(Archiving, "begin", cut)
        case "once the ledger begins after it":
            monkeypatch.setattr(Archiving, "drop", cut)
        case "while receipts are dropped":
            monkeypatch.setattr("tai_autonomics.application.archiving.DROP_RECEIPTS", 3)
            drop = SQLiteStore.drop

            async def drop_once(store: SQLiteStore, tenant: str, limit: int) -> int:
                assert await drop(store, tenant, limit) == 3
                raise Cut

            monkeypatch.setattr(SQLiteStore, "drop", drop_once)


STEPS = (
    "while the file is written",
    "before the file is durable",
    "before it is sealed",
    "once it is sealed",
    "once the ledger begins after it",
    "while receipts are dropped",
)


@pytest.mark.parametrize("step", STEPS)
def test_wherever_it_is_cut_short_nothing_is_lost_and_the_next_run_ends_it(
    aged: CommandLine, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with monkeypatch.context() as patched:
        cut_at(patched, step)
        with pytest.raises(Cut):
            archive(aged)
    assert aged("receipts", "verify", "-q") == 0
    assert aged("receipts", "replay", "-q") == 0
    assert archive(aged, "--through", "8", "-t", "acme") == 0
    (done,) = aged.documents
    assert done["dropped"] == (5 if step == STEPS[-1] else 8)
    assert left(aged) == [9]
    assert files(aged) == [FILE]
    rest = aged.directory / "rest.jsonl"
    assert aged("receipts", "export", "-t", "acme", "-o", rest, "-q") == 0
    assert aged("receipts", "verify", done["file"], rest, "-q") == 0


def spoil(file: Path, change: Callable[[bytes], bytes]) -> None:
    file.write_bytes(change(file.read_bytes()))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-1],
        lambda text: text.replace(b'"by":"me"', b'"by":"we"', 1),
        lambda text: text[: text.rindex(b"\n", 0, -1) + 1],
        lambda text: b"",
        lambda text: b"".join(lines(ledger("acme", 8, time="2024-05-06T07:08:10.000000Z"), parts=False)),
        lambda text: b"".join(lines(ledger("bob", 8, time=OLD), parts=False)),
    ],
    ids=["no last line feed", "a changed byte", "a receipt short", "empty", "another history", "another tenant"],
)
def test_a_file_that_is_not_the_ledgers_own_is_never_sealed(
    aged: CommandLine, change: Callable[[bytes], bytes]
) -> None:
    assert archive(aged, "--write-only", "-q") == 0
    spoil(aged.directory / "data" / "archives" / FILE, change)
    status, out = archive(aged), aged.out
    if out:
        # What was cut off its end is the store's own still, and no more of it is dropped than the file holds.
        assert status == 0
        assert left(aged) == [*range(json.loads(out)["through_seq"] + 1, 10)]
    else:
        assert status == 1
        assert left(aged) == [*range(1, 9)]
    assert aged("receipts", "verify", "-q") == 0


def test_a_file_that_changed_after_it_was_sealed_drops_nothing(
    aged: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal = Archiving.seal

    async def seal_and_spoil(work: Archiving, archived: Any) -> Any:
        sealed = await seal(work, archived)
        spoil(aged.directory / "data" / "archives" / FILE, lambda text: text[:-2] + b" }")
        return sealed

    monkeypatch.setattr(Archiving, "seal", seal_and_spoil)
    assert archive(aged) == 1
    assert "is not the file that was sealed" in aged.err
    assert left(aged) == [*range(1, 10)]
    assert aged("receipts", "verify", "-q") == 0


@pytest.mark.parametrize("gone", [True, False])
def test_what_is_to_be_dropped_stays_while_its_file_is_not_at_hand(
    aged: CommandLine, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    with monkeypatch.context() as patched:
        cut_at(patched, "while receipts are dropped")
        with pytest.raises(Cut):
            archive(aged)
    file = aged.directory / "data" / "archives" / FILE
    if gone:
        file.rename(aged.directory / FILE)
    else:
        spoil(file, lambda text: text[:-1])
    assert archive(aged, "-t", "acme") == 1
    assert ("name its directory with --archives" if gone else "is not the file that was sealed") in aged.err
    assert left(aged) == [4, 5, 6, 7, 8, 9]
    if gone:
        assert archive(aged, "-t", "acme", "--archives", aged.directory) == 0
        assert left(aged) == [9]


def test_one_ledger_that_cannot_be_archived_does_not_keep_the_others(aged: CommandLine) -> None:
    directory = aged.directory / "data" / "archives"
    directory.mkdir()
    (directory / FILE).write_bytes(b"")
    assert aged("receipts", "archive", "--at-least", "3", "--json") == 1
    assert aged.err.startswith("acme: ")
    assert [each["tenant"] for each in aged.documents] == ["bob"]
    assert (left(aged), left(aged, "bob")) == ([*range(1, 9)], [4])


def test_a_second_archive_goes_on_behind_the_first_and_both_with_the_rest_are_the_ledger(aged: CommandLine) -> None:
    assert archive(aged, "--through", "5", "-t", "acme") == 0
    assert aged("receipts", "archive", "--at-least", "1", "--json", "-t", "acme") == 0
    assert aged.documents[0]["first_seq"] == 6
    rest = aged.directory / "rest.jsonl"
    assert aged("receipts", "export", "-t", "acme", "-o", rest, "-q") == 0
    first, second = (aged.directory / "data" / "archives" / name for name in files(aged))
    assert aged("receipts", "verify", first, second, rest, "--json") == 0
    assert (aged.documents[0]["receipts"], aged.documents[0]["after"]) == (10, 0)
    assert aged("receipts", "verify", second, rest, "--json") == 0
    assert (aged.documents[0]["receipts"], aged.documents[0]["after"]) == (5, 5)


def test_a_backup_of_an_archived_store_is_restored_and_one_from_before_it_too(aged: CommandLine) -> None:
    assert aged("backup", "--json") == 0
    before = aged.documents[0]["manifest"]
    assert archive(aged, "-q") == 0
    assert aged("backup", "--json") == 0
    after = aged.documents[0]
    assert after["receipts"] == 12
    assert aged("restore", "--replace", "--json") == 0
    assert aged.documents[0]["receipts"] == 12
    assert left(aged) == [9, 10]
    assert aged("receipts", "verify", "-q") == 0
    assert aged("backup", "drill", "-q") == 0
    assert aged("restore", "--replace", before, "--json") == 0
    assert left(aged) == [*range(1, 10)]
    assert archive(aged, "--through", "8", "-t", "acme") == 0
    assert left(aged) == [9, 10]
    assert aged("receipts", "verify", "-q") == 0


# ---- retention


def days_ago(days: int) -> str:
    return f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%dT%H:%M:%S}.000000Z"


KEPT = "plans: {free: {rank: 1, retention: {receipts: 400d, parts: 60d}}, pro: {rank: 2}}\n"


@pytest.fixture
def keeping(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Of acme and bob, both on free, whose receipts are kept for 400 days; bob's are as old as that."""
    (cli.directory / "plans.yaml").write_text(KEPT)
    monkeypatch.setenv("PLANS_FILE", "plans.yaml")
    file = exported(
        cli.directory / "given.jsonl",
        ledger("acme", 8, time=days_ago(399)),
        ledger("bob", 8, ledger=BOB, time=days_ago(401)),
    )
    assert cli("receipts", "import", file, "--quiet") == 0
    return cli


def test_an_archive_takes_by_itself_what_is_not_kept_any_more_and_nothing_else(keeping: CommandLine) -> None:
    assert archive(keeping) == 0
    assert [each["tenant"] for each in keeping.documents] == ["bob"]
    assert (left(keeping), left(keeping, "bob")) == ([*range(1, 9)], [9])


@pytest.mark.parametrize("only", [(), ("--write-only",)])
def test_what_is_kept_and_asked_for_is_refused_with_the_date_and_the_others_go_on(
    keeping: CommandLine, only: tuple[str, ...]
) -> None:
    assert archive(keeping, "--older-than-days", "90", "-t", "acme", *only) == 1
    date = f"{datetime.now(UTC) - timedelta(days=400):%Y-%m-%d}"
    assert keeping.err.startswith(f"acme: retention keeps the receipts from {date}")
    assert left(keeping) == [*range(1, 9)]
    assert not (keeping.directory / "data" / "archives").exists()
    assert archive(keeping, "--older-than-days", "400") == 0
    assert [each["tenant"] for each in keeping.documents] == ["bob"]


def test_a_file_from_before_the_retention_is_not_sealed_while_it_lasts(
    keeping: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.delenv("PLANS_FILE")
        assert archive(keeping, "--write-only", "-t", "acme") == 0
    assert archive(keeping) == 1
    assert "acme: compliance is closed for erasure: retention keeps it until " in keeping.err
    assert [each["tenant"] for each in keeping.documents] == ["bob"]
    assert left(keeping) == [*range(1, 10)]
    assert keeping("receipts", "explain", "acme", "9") == 0
    assert "no hold is on that closes erasure; retention keeps it until " in keeping.out


def test_a_hold_on_one_tenant_does_not_keep_the_others_from_being_archived(aged: CommandLine) -> None:
    assert aged("holds", "place", "acme", "--scope", "erasure", "--evidence", "urn:case:1") == 0
    assert aged("receipts", "archive", "--at-least", "3", "--json") == 1
    assert "acme: compliance is closed for erasure: holds are on: " in aged.err
    assert [each["tenant"] for each in aged.documents] == ["bob"]


def test_a_part_is_not_erased_before_its_date_and_then_it_is(keeping: CommandLine) -> None:
    made_at = datetime.now(UTC) - timedelta(days=59)
    young = ledger("carol", 1, ledger=CAROL, time=f"{made_at:%Y-%m-%dT%H:%M:%S}.000000Z")
    assert keeping("receipts", "import", exported(keeping.directory / "young.jsonl", young), "-q") == 0
    asked = ("receipts", "erase", "--seq", "1", "--part", "metadata")
    assert keeping(*asked, "-t", "carol") == 1
    assert f"retention keeps it until {made_at + timedelta(days=60):%Y-%m-%dT%H:%M:%S}.000000Z" in keeping.err
    assert keeping(*asked, "-t", "acme") == 0
