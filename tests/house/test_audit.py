"""The audit of dependencies passes nothing that it has not checked without saying so."""

import runpy
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

judge: Final = runpy.run_path(str(Path(__file__).parents[2] / ".ci" / "dependencies.py"))["judge"]
CLEAN: Final = {"name": "good", "version": "1", "vulns": []}
SKIPPED: Final = {"name": "unknown", "skip_reason": "Dependency not found"}
FLAWED: Final = {"name": "bad", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}


def judged(
    *answer: dict[str, Any], ignored: Mapping[str, str] = MappingProxyType({}), required: bool = False
) -> tuple[str, bool]:
    lines, passes = judge({"run.txt": list(answer)}, ignored=ignored, required=required)
    return "\n".join(lines), passes


def test_a_known_vulnerability_fails_and_says_what_mends_it() -> None:
    said, passes = judged(CLEAN, FLAWED)
    assert not passes
    assert "VULNERABLE: run.txt: bad 1 has CVE-1, mended in: 2" in said


def test_what_is_ignored_has_a_reason_and_is_there() -> None:
    assert judged(CLEAN, FLAWED, ignored={"CVE-1": "its parser is not used here"})[1]
    assert not judged(CLEAN, FLAWED, ignored={"CVE-1": " "})[1]
    assert not judged(CLEAN, ignored={"CVE-1": "its parser is not used here"})[1]


def test_what_was_skipped_was_not_checked() -> None:
    said, passes = judged(CLEAN, SKIPPED)
    assert passes
    assert "NOT CHECKED:   unknown" in said
    assert "1 dependencies checked, 1 not checked" in said
    assert not judged(CLEAN, SKIPPED, required=True)[1]
    assert judged(CLEAN, required=True)[1]


def test_an_audit_that_gave_no_answer_checked_nothing() -> None:
    for answer in ("no answer within 120 s", []):
        lines, passes = judge({"run.txt": answer}, ignored={}, required=True)
        assert not passes
        assert any("all of run.txt" in line for line in lines)
