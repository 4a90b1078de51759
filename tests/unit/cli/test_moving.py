"""`receipts export` and `import`: what goes out comes in again, whole, once."""

import stat

import pytest
from tests.unit.cli.exports import CommandLine, exported, ledger, lines

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
        (b"hello\n", "lines 1 to 1: not a line of an export"),
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
