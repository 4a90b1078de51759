"""
Whether terraform/ has what checkov knows to be a mistake, and why a check is left out where one is.

    terraform/*.tf -> checkov -> failed, unread or left out without a reason: it fails | left out: said with its reason

checkov passes over a file that it cannot read, and takes any word for a reason; here neither passes.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

DIRECTORY: Final = Path(__file__).parents[1] / "terraform"
SECONDS_MAX: Final = 120
REASON_WORDS_MIN: Final = 5


def judge(report: Mapping[str, Any]) -> tuple[list[str], bool]:
    """What is to be said, and whether it passes."""
    results, summary = report.get("results", {}), report.get("summary", {})
    lines = [
        f"FAILED: {each['resource']}: {each['check_id']}, {each['check_name']}" for each in results["failed_checks"]
    ]
    lines += [f"NOT READ: {file}" for file in results.get("parsing_errors", [])]
    for each in results["skipped_checks"]:
        reason = each["check_result"].get("suppress_comment", "").strip()
        told = f"left out: {reason}" if len(reason.split()) >= REASON_WORDS_MIN else "NO REASON"
        lines.append(f"{told}: {each['resource']}: {each['check_id']}")
    if not summary["passed"]:
        lines.append("NOTHING CHECKED")
    bad = any(line.startswith(("FAILED", "NOT READ", "NO REASON", "NOTHING")) for line in lines)
    lines.append(f"{summary['passed']} checks passed over {summary['resource_count']} resources")
    return lines, not bad


def main() -> None:
    checkov = Path(sys.executable).with_name("checkov")
    options = ["--skip-download", "--framework", "terraform", "--skip-path", r"\.tftest\.hcl$", "--output", "json"]
    done = subprocess.run(
        [checkov, "--directory", str(DIRECTORY), *options],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    lines, passes = judge(json.loads(done.stdout))
    print("\n".join(lines))
    sys.exit(0 if passes else 1)


if __name__ == "__main__":
    main()
