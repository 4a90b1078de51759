"""How SQLite answers each statement: through an index, or it would slow down as the ledgers grow."""

import re

import pytest

from tai_autonomics.stores.sqlite import files, statements

BOUNDED = {
    "INSERT_QUARANTINED": "counts at most the quarantine's bound",
    "SELECT_NEWEST_POLICY": "as many rows as plans files were ever loaded",
    "SELECT_NEWEST_TIME": "ends at the first row",
}

STATEMENTS = {
    name: value[2] if isinstance(value, tuple) else value
    for name, value in vars(statements).items()
    if re.match("(INSERT|SELECT|UPSERT|DELETE|ERASE|EXISTS|LEASE|KEEP|PUT)_", name)
}


def parameters(statement: str) -> dict[str, int] | list[int]:
    if named := re.findall(r":([a-z_]+)", statement):
        return dict.fromkeys(named, 1)
    return [1] * statement.count("?")


def plan_of(name: str) -> list[str]:
    connection = files.connect(None)
    files.migrate(connection, "memory")
    statement = STATEMENTS[name]
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters(statement))]
    connection.close()
    return plan


@pytest.mark.parametrize("name", sorted(STATEMENTS.keys() - BOUNDED.keys()))
def test_no_statement_reads_a_whole_table(name: str) -> None:
    plan = plan_of(name)
    tables = "receipts|parts|snapshots|due|quarantine|policies|r"
    assert not [step for step in plan if re.match(rf"SCAN ({tables})\b", step)], plan


@pytest.mark.parametrize("name", ["EXISTS_READY", "EXISTS_READY_OF", "SELECT_READY", "SELECT_READY_OF"])
def test_rows_that_are_due_are_found_past_those_that_are_not(name: str) -> None:
    assert [step for step in plan_of(name) if re.match(r"SEARCH due USING (COVERING )?INDEX due_by_ready", step)]


@pytest.mark.parametrize("name", ["SELECT_ACTION_RECEIPTS", "SELECT_ACTION_RECEIPTS_BEFORE"])
def test_what_became_of_actions_is_found_past_all_other_receipts_of_a_tenant(name: str) -> None:
    (step,) = plan_of(name)
    assert "receipts_of_actions (tenant=? AND seq" in step
