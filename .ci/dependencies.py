"""
Whether a locked dependency has a known vulnerability, and which could not be looked up.

    requirements/*.txt -> pip-audit, a run a file -> found: it fails | skipped: said in capitals

pip-audit says "no known vulnerabilities" of a package that it could not look up. Here that is NOT CHECKED; with
TAI_AUDIT_REQUIRED=1, for a machine that reaches the vulnerability service, it fails too.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any, Final

REQUIREMENTS: Final = Path(__file__).parents[1] / "requirements"
SECONDS_MAX: Final = 120
IGNORED: Final[Mapping[str, str]] = {}
"""A vulnerability's id -> why it does not concern this project. One without a reason, or not found, fails."""


def looked_up(file: Path) -> list[dict[str, Any]] | str:
    """pip-audit's word on each package of a file, or why there is none."""
    command = [sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "--requirement", str(file)]
    options = ["--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    try:
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
        dependencies: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return f"no answer within {SECONDS_MAX} s"
    except (ValueError, KeyError):
        return (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
    return dependencies


def judge(
    files: Mapping[str, list[dict[str, Any]] | str], *, ignored: Mapping[str, str], required: bool
) -> tuple[list[str], bool]:
    """What is to be said, and whether it passes."""
    lines: list[str] = []
    found: set[str] = set()
    checked: set[str] = set()
    not_checked: set[str] = set()
    for file, answer in files.items():
        if isinstance(answer, str):
            not_checked.add(f"all of {file} ({answer})")
            continue
        if not answer:
            not_checked.add(f"all of {file} (no package was named)")
        for each in answer:
            if "skip_reason" in each:
                not_checked.add(each["name"])
                continue
            checked.add(each["name"])
            for flaw in each["vulns"]:
                found.add(flaw["id"])
                fixed = ", ".join(flaw.get("fix_versions", [])) or "none"
                why = ignored.get(flaw["id"], "").strip()
                told = f"ignored: {why}" if why else "VULNERABLE"
                lines.append(f"{told}: {file}: {each['name']} {each['version']} has {flaw['id']}, mended in: {fixed}")
    stale = sorted(set(ignored) - found) if checked and not not_checked else []
    lines += [f"STALE: {each} is ignored and was not found: take it out" for each in stale]
    if not_checked:
        lines.append(f"NOT CHECKED: {len(not_checked)} of {len(checked | not_checked)}: the vulnerability service")
        lines.append("NOT CHECKED: does not know them or cannot be reached, so nothing is known of these:")
        names = wrap(", ".join(sorted(not_checked)), 100, break_on_hyphens=False)
        lines += [f"NOT CHECKED:   {each}" for each in names]
    lines.append(f"{len(checked)} dependencies checked, {len(not_checked)} not checked")
    bad = any(line.startswith(("VULNERABLE", "STALE")) for line in lines)
    return lines, not bad and not (required and not_checked)


def main() -> None:
    files = {file.name: looked_up(file) for file in sorted(REQUIREMENTS.glob("*.txt"))}
    lines, passes = judge(files, ignored=IGNORED, required=os.environ.get("TAI_AUDIT_REQUIRED") == "1")
    print("\n".join(lines))
    sys.exit(0 if passes else 1)


if __name__ == "__main__":
    main()
