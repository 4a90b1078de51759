"""An empty directory and an empty environment to run command lines in."""

import os
from pathlib import Path

import pytest
from tests.unit.cli.exports import CommandLine, exported, ledger

from tai_autonomics.settings import TABLE


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    for setting in TABLE.values():
        monkeypatch.delenv(setting.name, raising=False)
    for name in [name for name in os.environ if name.startswith("TAI_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("K_SERVICE", raising=False)
    monkeypatch.chdir(tmp_path)
    return CommandLine(tmp_path, capsys)


@pytest.fixture
def stored(cli: CommandLine) -> CommandLine:
    """A store with a ledger of acme and one of bob."""
    file = exported(
        cli.directory / "given.jsonl", ledger("acme", 3), ledger("bob", 2, ledger="01JD0000000000000000000001")
    )
    assert cli("receipts", "import", file, "--quiet") == 0
    return cli
