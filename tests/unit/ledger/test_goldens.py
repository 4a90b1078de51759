"""The frozen vectors: the code makes them, verifies them, and catches every mutation at its step."""

import json
import runpy
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from tests.vectors.generate import TENANT, files, sealed

from tai_autonomics.errors import BrokenChain
from tai_autonomics.ledger.chain import verify
from tai_autonomics.ledger.lines import parse_line, reply
from tai_autonomics.ledger.receipt import receipt_of

VECTORS = Path(__file__).parents[2] / "vectors"
VERIFIER = Path(__file__).parents[2] / "independent_verifier.py"
SINGLES = json.loads((VECTORS / "receipts.json").read_bytes())
MUTATIONS = json.loads((VECTORS / "mutations.json").read_bytes())
LINES = (VECTORS / "chain.jsonl").read_bytes().splitlines(keepends=True)
ARCHIVE = (VECTORS / "archive.jsonl").read_bytes().splitlines(keepends=True)
BASED = (VECTORS / "based.jsonl").read_bytes().splitlines(keepends=True)
HEAD = parse_line(LINES[-1]).hash


def named(vectors: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


def mutated(mutation: dict[str, Any]) -> list[bytes]:
    lines: list[bytes | None] = list(LINES)
    for number, line in mutation["lines"].items():
        lines[int(number) - 1] = None if line is None else line.encode() + b"\n"
    return [line for line in lines if line is not None]


def rebased(old: bytes, new: bytes) -> bytes:
    """The line that brings the base along, with another one."""
    receipt, mark, base = BASED[0].partition(b',"base":')
    assert old in base
    return receipt + mark + base.replace(old, new)


@pytest.mark.parametrize("name", list(files()))
def test_the_code_makes_the_frozen_bytes(name: str) -> None:
    assert files()[name] == (VECTORS / name).read_bytes()


@pytest.mark.parametrize("vector", named(SINGLES))
def test_a_frozen_receipt_is_read_and_written_back(vector: dict[str, Any]) -> None:
    line = parse_line(vector["line"].encode())
    receipt = receipt_of(line.body)
    parts = [{"name": part.name, "salt": part.salt.hex(), "text": part.text.decode()} for part in line.parts]
    assert (receipt.hash, receipt.claims, parts) == (vector["hash"], vector["claims"], vector["parts"])
    assert reply(receipt.body, receipt.hash, line.parts) == vector["line"].encode()


@pytest.mark.parametrize("vector", named(SINGLES))
def test_others_agree_on_the_bytes_and_the_hash_of_a_frozen_receipt(vector: dict[str, Any]) -> None:
    shown = json.loads(vector["line"])
    assert sha256(rfc8785.dumps(shown["receipt"])).hexdigest() == shown["hash"] == vector["hash"]


def test_the_frozen_chain_verifies() -> None:
    (verified,) = verify(LINES, {TENANT: HEAD})
    assert (verified.receipts, verified.opened, verified.erased) == (50, {"metadata": 5}, {"metadata": 5})


@pytest.mark.parametrize("mutation", named(MUTATIONS))
def test_a_mutation_is_caught_at_its_step(mutation: dict[str, Any]) -> None:
    with pytest.raises(BrokenChain) as caught:
        verify(mutated(mutation), {TENANT: HEAD})
    error = caught.value
    assert (error.tenant, error.seq, error.step) == (TENANT, mutation["seq"], mutation["step"])


def test_every_member_and_everything_beside_a_body_has_its_mutation() -> None:
    fields = {mutation["field"].split(".")[0] for mutation in MUTATIONS}
    members = {member for line in LINES for member in json.loads(line)["receipt"]}
    assert members | {"hash", "parts"} <= fields


def test_every_step_has_its_mutation() -> None:
    assert {mutation["step"] for mutation in MUTATIONS} == set(range(1, 9))


def test_the_frozen_archive_and_what_goes_on_behind_it_verify_together_and_each_alone() -> None:
    (verified,) = verify(ARCHIVE, {})
    assert (verified.receipts, verified.after, verified.erased) == (4, 0, {"metadata": 1})
    (verified,) = verify(BASED, {})
    assert (verified.receipts, verified.after) == (2, 4)
    (verified,) = verify([*ARCHIVE, *BASED], {})
    assert (verified.receipts, verified.after, verified.head.seq) == (6, 0, 6)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (ARCHIVE, b""),
        (BASED, b""),
        (ARCHIVE + BASED, b""),
        (BASED[:1], b"of this base no receipt says that it was archived"),
        (ARCHIVE[:3] + BASED, b"receipt 5 of acme-corp is not the next of its ledger"),
        ([rebased(b"professional", b"enterprise"), BASED[1]], b"of this base no receipt says that it was archived"),
        ([rebased(b'"archive":"', b'"archive":"0'), BASED[1]], b"of this base no receipt says that it was archived"),
        (
            [*ARCHIVE, rebased(b'"ledger":"01', b'"ledger":"02')],
            b"goes back in time, or not on from its base",
        ),
    ],
    ids=["archive", "based", "both", "unsaid", "a gap", "another state", "another archive", "another ledger"],
)
def test_the_independent_verifier_knows_the_seam(lines: list[bytes], says: bytes) -> None:
    verifier = [sys.executable, "-I", str(VERIFIER)]
    done = subprocess.run(verifier, input=b"".join(lines), capture_output=True, timeout=60, check=False)
    assert (done.returncode, says in done.stderr) == (1 if says else 0, True)
    assert says or done.stderr == b""


def test_the_independent_verifier_is_short_and_imports_the_standard_library_alone() -> None:
    text = VERIFIER.read_text()
    imported = {line.split()[1] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert len(text.splitlines()) <= 40
    assert imported <= sys.stdlib_module_names


@pytest.mark.parametrize(("given", "status"), [(LINES, 0), (LINES[1:], 1)])
def test_the_independent_verifier_reads_standard_input_and_its_status_tells(given: list[bytes], status: int) -> None:
    verifier = [sys.executable, "-I", str(VERIFIER)]
    assert subprocess.run(verifier, input=b"".join(given), capture_output=True, check=False).returncode == status


def test_the_independent_verifier_accepts_the_frozen_chain(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(VERIFIER), str(VECTORS / "chain.jsonl")])
    runpy.run_path(str(VERIFIER))
    assert json.loads(capsys.readouterr().out)[TENANT]["hash"] == HEAD


@pytest.mark.parametrize("mutation", named(MUTATIONS))
def test_the_independent_verifier_catches_a_mutation(
    mutation: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    export = tmp_path / "export.jsonl"
    export.write_bytes(b"".join(mutated(mutation)))
    monkeypatch.setattr(sys, "argv", [str(VERIFIER), str(export)])
    try:
        runpy.run_path(str(VERIFIER))
    except (SystemExit, ValueError, KeyError, TypeError):
        return
    assert json.loads(capsys.readouterr().out)[TENANT]["hash"] != HEAD, "only a trusted head can show it"
    assert mutation["step"] == 8


@pytest.mark.parametrize(("plans", "status"), [(b"plans: {}\n", 0), (b'plans: {a: "\xc3\xbc"}\n', 1)])
def test_forty_lines_of_standard_library_see_whether_the_plans_are_those_that_the_policy_names(
    plans: bytes, status: int
) -> None:
    receipt = sealed(policy=sha256(b"plans: {}\n").hexdigest())
    line = reply(receipt.body, receipt.hash, (), plans=plans)
    done = subprocess.run([sys.executable, VERIFIER], input=line, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (
        status,
        b"receipt 1 of acme-corp has foreign plans\n" if status else b"",
    )
