"""A copy of a ledger file is as of one moment, however much is written while it is made."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.cli.exports import exported, ledger

from tai_autonomics.application.importing import Import
from tai_autonomics.stores.sqlite import SQLiteStore, backup, files


async def filled(path: Path, lines: list[bytes]) -> None:
    store = await SQLiteStore.open(str(path))
    await Import(store).take(lines)
    await store.aclose()


def test_what_is_committed_between_two_steps_of_a_copy_is_not_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, to = tmp_path / "tai.db", tmp_path / "copy.db"
    lines = exported(tmp_path / "x.jsonl", ledger("acme", 300)).read_bytes().splitlines(keepends=True)
    asyncio.run(filled(path, lines))
    monkeypatch.setattr(backup, "PAGES", 8)
    steps: list[int] = []

    def write_beside(done: int, _: int) -> None:
        steps.append(done)
        with closing(files.connect(path)) as writer:
            writer.execute("DELETE FROM receipts WHERE id = (SELECT max(id) FROM receipts)")

    copied = backup.copy(path, to, write_beside)
    assert len(steps) > 3
    assert steps == sorted(set(steps)), "no commit began the copy anew"
    with closing(sqlite3.connect(to)) as copy:
        assert copy.execute("SELECT count(*) FROM receipts").fetchone() == (copied.receipts,) == (300,)
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
