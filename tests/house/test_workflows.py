"""
GitHub's workflows, as far as they can be judged without GitHub: what may be done, what is run, and when it goes back.

Their syntax and known weaknesses are judged by actionlint and zizmor in `make audit`.
"""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
FILES: Final = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED: Final = re.compile(r"\s*(?:- )?uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
VARIABLES: Final = re.compile(r"\$\{\{[^}]*\bvars\.(\w+)")


def read(file: Path) -> dict[Any, Any]:
    return dict(yaml.safe_load(file.read_text()))


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in FILES:
        for name, job in read(file)["jobs"].items():
            yield f"{file.name}: {name}", job


def steps_of(file: str) -> list[dict[str, Any]]:
    (job,) = read(ROOT / ".github" / "workflows" / file)["jobs"].values()
    return list(job["steps"])


def unpinned(text: str) -> list[str]:
    """The lines that use what somebody else may change."""
    return [
        line.strip()
        for line in text.splitlines()
        if re.match(r"\s*(- )?uses:", line) and "uses: ./.github/" not in line and not PINNED.fullmatch(line)
    ]


def test_every_action_is_pinned_by_its_commit_and_says_its_version() -> None:
    assert [file.name for file in FILES] == ["deliver.yml", "roll-out.yml", "test.yml"]
    for file in FILES:
        assert unpinned(file.read_text()) == []
    assert unpinned("      - uses: actions/checkout@v7") == ["- uses: actions/checkout@v7"]


def test_nothing_may_be_done_that_a_job_does_not_ask_for() -> None:
    allowed = {"contents": "read", "id-token": "write"}
    for file in FILES:
        assert read(file)["permissions"] == {}
    for name, job in jobs():
        assert job["permissions"].items() <= allowed.items(), name
        if "id-token" in job["permissions"] and "steps" in job:  # Terraform binds Google's account to an environment
            assert "environment" in job, name


def test_every_job_ends_and_no_delivery_runs_beside_another() -> None:
    for name, job in jobs():
        assert "uses" in job or 0 < job["timeout-minutes"] <= 120, name
    for file in FILES:
        assert read(file)["concurrency"]["group"], file
    for file in ("deliver.yml", "roll-out.yml"):
        assert read(ROOT / ".github" / "workflows" / file)["concurrency"]["cancel-in-progress"] is False


def test_no_expression_is_put_into_a_shell() -> None:
    for name, job in jobs():
        for step in job.get("steps", []):
            assert "${{" not in step.get("run", ""), (name, step)


def test_what_is_run_is_there_and_takes_what_it_is_given() -> None:
    called = []
    for name, job in jobs():
        for step in job.get("steps", []):
            for line in step.get("run", "").splitlines():
                words = shlex.split(line.partition(">>")[0])
                if not words[0].startswith("deploy/"):
                    continue
                called.append(words[0])
                usage = re.search(r"# Usage: \S+ (.*)", (ROOT / words[0]).read_text())
                assert usage is not None, words
                required = re.sub(r"\[.*\]", "", usage[1]).split()
                optional = re.findall(r"[A-Z_]+", usage[1])
                assert len(required) <= len(words) - 1 <= len(optional), (name, words)
    assert {Path(each).name for each in called} == {
        "candidate.sh",
        "checklist.sh",
        "promote.sh",
        "push.sh",
        "roll-back.sh",
        "scan.sh",
        "watch.sh",
    }


def test_production_comes_after_staging_and_nothing_before_the_tests() -> None:
    needs = {name: job.get("needs", []) for name, job in read(ROOT / ".github/workflows/deliver.yml")["jobs"].items()}
    assert needs == {"test": [], "image": "test", "staging": "image", "production": ["image", "staging"]}


def test_an_image_is_scanned_before_it_is_pushed() -> None:
    runs = [step.get("run", "") for step in read(ROOT / ".github/workflows/deliver.yml")["jobs"]["image"]["steps"]]
    assert [re.split(r"\s", run)[0] for run in runs if run] == [
        "container/build",
        "deploy/image/scan.sh",
        "deploy/image/push.sh",
    ]


def test_whatever_fails_after_the_candidate_gives_the_traffic_back() -> None:
    steps = steps_of("roll-out.yml")
    runs = [step.get("run", "") for step in steps]
    back = next(number for number, run in enumerate(runs) if "roll-back.sh" in run)
    alters = [number for number, run in enumerate(runs) if "promote.sh" in run or "watch.sh" in run]
    assert max(alters) < back
    assert steps[back]["if"] == "${{ !success() && steps.candidate.outputs.stable != '' }}"
    for step in steps[:back]:
        assert not step.get("continue-on-error")
        assert "always()" not in step.get("if", "")
    shares = [re.findall(r'"\$REVISION" (\d+)$', run, re.MULTILINE) for run in runs if "promote.sh" in run]
    assert shares == [["10"], ["50"], ["100"]]


def test_every_variable_is_in_the_table_of_what_is_to_be_set() -> None:
    read_by = {name for file in FILES for name in VARIABLES.findall(file.read_text())}
    table = (ROOT / "deploy" / "README.md").read_text()
    assert read_by == set(re.findall(r"^\| `([A-Z_]+)` \|", table, re.MULTILINE))


@pytest.mark.parametrize("name", ["actionlint", "zizmor"])
def test_make_audit_runs_the_linters_of_workflows(name: str) -> None:
    printed = subprocess.run(
        ["make", "--dry-run", "audit"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert re.search(rf"\.venv-audit/bin/{name}\b", printed.stdout)
