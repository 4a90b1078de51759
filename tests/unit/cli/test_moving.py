"""`receipts export` and `import`: what goes out comes in again, whole, once."""

import stat
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.exports import CommandLine, exported, ledger, lines

from tai_autonomics.application import transfer
from tai_autonomics.application.ports import Store
from tai_autonomics.errors import StoreUnavailable

OTHER = "01JD0000000000000000000001"


def test_an_export_is_what_was_imported(stored: CommandLine) -> None:
    file = stored.directory / "out.jsonl"
    assert stored("receipts", "export", "--output", file, "--json") == 0
    assert file.read_bytes() == (stored.directory / "given.jsonl").read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    document = stored.documents[0]
    assert (document["file"], document["ledgers"], document["receipts"]) == (str(file), 2, 5)


def test_an_export_goes_to_standard_output_and_to_the_tenants_that_are_named(stored: CommandLine) -> None:
    expected = b"".join(lines(ledger("bob", 2, ledger=OTHER))).decode()
    for target in ((), ("-o", "-")):
        assert stored("receipts", "export", "--tenant", "bob", "--tenant", "bob", *target) == 0
        assert stored.out == expected
    assert stored("receipts", "export", "--tenant", "bob", "-o", "/dev/null", "-q") == 0


def test_an_export_that_fails_leaves_what_was_there(stored: CommandLine) -> None:
    file = stored.directory / "out.jsonl"
    file.write_text("older")
    assert stored("receipts", "export", "--tenant", "bob", "--tenant", "carol", "-o", file) == 1
    assert stored.err == "tai-autonomics: carol has no ledger\n"
    assert file.read_text() == "older"
    assert stored("receipts", "export", "-o", "nowhere/out.jsonl") == 2
    assert stored.err == "tai-autonomics: nowhere/out.jsonl: No such file or directory\n"


def cut(file: Path, bytes_: int) -> Path:
    """What a kill would have left of the export."""
    part = file.with_name(f"{file.name}.part")
    part.write_bytes(file.read_bytes()[:bytes_])
    file.unlink()
    return part


def test_an_export_goes_on_where_one_ended_early(stored: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    file, given = stored.directory / "out.jsonl", (stored.directory / "given.jsonl").read_bytes()
    written: list[int] = []
    asked = transfer.export

    def counted(store: object, tenant: str, **options: Any) -> object:
        written.append(options["written"].seq if options.get("written") else 0)
        return asked(store, tenant, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("tai_autonomics.cli.exporting.export", counted)
    for length in (0, 5, *range(200, len(given), 150), len(given)):
        file.write_bytes(given)
        part = cut(file, length)
        assert stored("receipts", "export", "-o", file, "--json") == 0
        assert file.read_bytes() == given
        assert not part.exists()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stored.documents[0]["receipts"] == 5
    assert {1, 2, 3} <= set(written)


def test_an_export_begins_anew_where_the_store_is_not_what_it_was(stored: CommandLine) -> None:
    file, given = stored.directory / "out.jsonl", (stored.directory / "given.jsonl").read_bytes()
    first = given.index(b"\n") + 1
    for other in (
        b"hello\n",
        given[first:],
        b"".join(lines(ledger("bob", 2, ledger=OTHER))),  # not the first
        b"".join(lines(ledger("acme", 2, ledger=OTHER), parts=False)),
        b"".join([*lines(ledger("acme", 2)), *lines(ledger("bob", 1, ledger=OTHER))]),  # acme has gone on
        b"".join(lines(ledger("acme", 9))),
        b"".join(lines(ledger("aaron", 2))),
        given[:first].replace(b"O-1", b"O-2") + given[first:],
    ):
        file.write_bytes(other)
        cut(file, len(other))
        assert stored("receipts", "export", "-o", file) == 0, stored.err
        assert file.read_bytes() == given


def test_an_export_keeps_what_it_wrote_until_the_store_failed(
    stored: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, given = stored.directory / "out.jsonl", (stored.directory / "given.jsonl").read_bytes()
    page = transfer.page

    async def failing(store: Store, tenant: str, after: int) -> transfer.Page:
        if tenant == "bob":
            raise StoreUnavailable("the connection is gone")
        return await page(store, tenant, after)

    with monkeypatch.context() as gone:
        gone.setattr(transfer, "page", failing)
        assert stored("receipts", "export", "-o", file) == 69
    assert not file.exists()
    part = file.with_name("out.jsonl.part")
    assert given.startswith(part.read_bytes())
    assert part.read_bytes().count(b"\n") == 3
    assert stat.S_IMODE(part.stat().st_mode) == 0o600
    assert stored("receipts", "export", "-o", file) == 0
    assert file.read_bytes() == given


def test_an_export_leaves_a_file_alone_that_another_one_writes(stored: CommandLine) -> None:
    import fcntl

    file = stored.directory / "out.jsonl"
    with file.with_name("out.jsonl.part").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert stored("receipts", "export", "-o", file) == 2
    assert "out.jsonl.part: another export is writing it" in stored.err
    (stored.directory / "out.jsonl.part").unlink()
    (stored.directory / "out.jsonl.part").symlink_to(stored.directory / "elsewhere")
    assert stored("receipts", "export", "-o", file) == 2
    assert not (stored.directory / "elsewhere").exists()


def test_an_import_takes_what_the_store_lacks_and_says_so(cli: CommandLine) -> None:
    assert cli("receipts", "import", exported(cli.directory / "a.jsonl", ledger("acme", 2))) == 0
    assert cli.out.startswith("1 ledger: 2 receipts appended, 0 were there already, in ")
    longer = exported(cli.directory / "b.jsonl", ledger("acme", 5))
    assert cli("receipts", "import", longer, "--json") == 0
    document = cli.documents[0]
    assert (document["appended"], document["held"], document["ledgers"][0]["tenant"]) == (3, 2, "acme")
    assert cli("receipts", "import", longer, "--store", "sqlite:///other/tai.db", "-q") == 0
    assert cli("receipts", "verify", "--store", "sqlite:///other/tai.db", "--head", ledger("acme", 5)[-1].hash) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"hello\n", "line 1: not a line of an export"),
        (lines(ledger())[1], "receipt 1 of acme: step 8: seq is 2 where 1 is next"),
    ],
)
def test_an_import_of_something_else_is_refused(cli: CommandLine, text: bytes, said: str) -> None:
    file = cli.directory / "x.jsonl"
    file.write_bytes(text)
    assert cli("receipts", "import", file) == 1
    assert said in cli.err


def test_an_import_of_another_history_of_the_same_tenant_is_refused(stored: CommandLine) -> None:
    file = exported(stored.directory / "x.jsonl", ledger("acme", 4, ledger=OTHER), parts=False)
    assert stored("receipts", "import", file) == 1
    assert stored("receipts", "verify", "--tenant", "acme", "--head", ledger("acme", 3)[-1].hash) == 0


def test_a_file_that_is_not_there_makes_no_store(cli: CommandLine) -> None:
    assert cli("receipts", "import", "missing.jsonl") == 2
    assert not (cli.directory / "data").exists()


def test_replay_agrees_with_the_live_state(stored: CommandLine) -> None:
    assert stored("receipts", "replay") == 0
    assert stored.out.splitlines() == [
        "acme: 3 receipts replayed; the state agrees with the live one",
        "bob: 2 receipts replayed; the state agrees with the live one",
    ]
    assert stored("receipts", "replay", "--tenant", "bob", "--json") == 0
    assert [(each["tenant"], each["receipts"], each["agrees"]) for each in stored.documents] == [("bob", 2, True)]
    assert stored("receipts", "replay", "--tenant", "carol") == 1


def test_replay_disagrees_with_a_snapshot_that_says_something_else(stored: CommandLine) -> None:
    change(stored, "UPDATE snapshots SET state = CAST(replace(CAST(state AS TEXT), 'active', 'suspended') AS BLOB)")
    assert stored("receipts", "replay", "--tenant", "acme") == 1
    assert stored.out == "acme: 3 receipts replayed; the state is not the live one\n"
    assert stored.err == "acme: the live state is not what its receipts say\n"


def test_an_empty_store_says_nothing_of_anybody(stored: CommandLine) -> None:
    change(stored, "DELETE FROM receipts", "DELETE FROM snapshots")
    assert stored("receipts", "replay") == 2
    assert stored("receipts", "verify") == 2
    assert (stored("tenants", "list"), stored.out) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [("receipts", "list", "-t", "a"), ("receipts", "verify"), ("receipts", "export"), ("tenants", "list")],
)
def test_a_store_that_is_not_there_is_unavailable(cli: CommandLine, arguments: tuple[str, ...]) -> None:
    assert cli(*arguments) == 69
    assert cli.err.count("\n") == 1
    assert not (cli.directory / "data").exists()


def change(cli: CommandLine, *statements: str) -> None:
    """What somebody with access to the file might do."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(cli.directory / "data" / "tai.db")) as connection, connection:
        for statement in statements:
            assert connection.execute(statement).rowcount > 0
