"""The audit of terraform/ passes nothing that failed, was not read, or was left out without a reason."""

import runpy
from pathlib import Path
from typing import Any, Final

judge: Final = runpy.run_path(str(Path(__file__).parents[2] / ".ci" / "terraform.py"))["judge"]


def one(comment: str = "") -> dict[str, Any]:
    return {
        "resource": "bucket.b", "check_id": "CKV_1", "check_name": "be closed",
        "check_result": {"suppress_comment": comment},
    }  # fmt: skip


def judged(
    *,
    failed: list[Any] | None = None,
    skipped: list[Any] | None = None,
    unread: list[str] | None = None,
    passed: int = 9,
) -> tuple[list[str], bool]:
    lines, passes = judge(
        {
            "results": {
                "failed_checks": failed or [],
                "skipped_checks": skipped or [],
                "parsing_errors": unread or [],
            },
            "summary": {"passed": passed, "resource_count": 3},
        }
    )
    return lines, passes


def test_what_passes_says_how_much_was_looked_at() -> None:
    assert judged() == (["9 checks passed over 3 resources"], True)


def test_a_failed_check_fails() -> None:
    lines, passes = judged(failed=[one()])
    assert (lines[0], passes) == ("FAILED: bucket.b: CKV_1, be closed", False)


def test_a_check_is_left_out_with_a_reason_alone() -> None:
    lines, passes = judged(skipped=[one("who reads it is in the audit logs")])
    assert (lines[0], passes) == ("left out: who reads it is in the audit logs: bucket.b: CKV_1", True)
    assert not judged(skipped=[one("not needed")])[1]


def test_a_file_that_was_not_read_fails() -> None:
    assert not judged(unread=["terraform/run.tf"])[1]
    assert not judged(passed=0)[1]
