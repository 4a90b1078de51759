"""What is carried out by hand in the cloud: the scripts are sound and say what they need, Terraform keeps its word."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "deploy").rglob("*.sh"))
SOURCED = sorted((ROOT / "deploy").rglob("*.bash"))
TERRAFORM = (ROOT / "terraform" / "firestore.tf").read_text()
SPY = '#!/bin/sh\necho "$(basename "$0") $*" >> "$SEEN"\ncase "$3" in list) echo "[{\\"done\\": true}]" ;; esac\n'


def names(scripts: list[Path]) -> list[str]:
    return [script.name for script in scripts]


@pytest.mark.long
def test_the_scripts_are_clean() -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([shellcheck, *SCRIPTS, *SOURCED], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert len(SCRIPTS) >= 7
    assert all(os.access(script, os.X_OK) for script in SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS, ids=names(SCRIPTS))
def test_a_script_without_its_arguments_says_which_and_does_nothing(script: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", script], capture_output=True, text=True, timeout=60, check=False, env={"PATH": os.environ["PATH"]}
    )
    assert done.returncode != 0
    assert f"usage: {script.name} PROJECT " in done.stderr


each_that_asks = pytest.mark.parametrize(
    ("script", "arguments", "carried_out"),
    [
        (
            "export.sh",
            ["p", "(default)", "gs://b/f", "2026-11-24T02:30:00Z"],
            "gcloud firestore export gs://b/f/2026-11-24T02:30:00Z --project=p --database=(default)"
            " --snapshot-time=2026-11-24T02:30:00Z\n",
        ),
        (
            "import.sh",
            ["p", "eur3", "new1", "gs://b/f/m"],
            "gcloud firestore databases create --project=p --database=new1 --location=eur3 --type=firestore-native"
            " --enable-pitr --delete-protection\n"
            "gcloud firestore import gs://b/f/m --project=p --database=new1\n",
        ),
        (
            "restore.sh",
            ["p", "eur3", "b1", "new1"],
            "gcloud firestore databases restore --project=p --destination-database=new1"
            " --source-backup=projects/p/locations/eur3/backups/b1\n"
            "gcloud firestore operations list --project=p --database=new1 --format=json\n"
            "gcloud firestore databases update --project=p --database=new1 --enable-pitr --delete-protection\n",
        ),
        (
            "clone.sh",
            ["p", "(default)", "2026-11-24T02:30:00Z", "new1"],
            "gcloud firestore databases clone --project=p --destination-database=new1"
            " --source-database=projects/p/databases/(default) --snapshot-time=2026-11-24T02:30:00Z\n"
            "gcloud firestore operations list --project=p --database=new1 --format=json\n"
            "gcloud firestore databases update --project=p --database=new1 --enable-pitr --delete-protection\n",
        ),
        (
            "schedule.sh",
            ["p", "new1"],
            "gcloud firestore databases update --project=p --database=new1 --enable-pitr --delete-protection\n"
            "gcloud firestore backups schedules create --project=p --database=new1 --recurrence=daily"
            " --retention=30d\n",
        ),
        (
            "fit.sh",
            ["p", "new1", "kept"],
            "tai-autonomics restore --in-place --backups kept --store firestore://p/new1\n",
        ),
    ],
)


def spied_on(seen: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What the script calls is written to `seen`."""
    for name in ("gcloud", "tai-autonomics"):
        (seen.parent / name).write_text(SPY)
        (seen.parent / name).chmod(0o755)
    environ = {"PATH": f"{seen.parent}:{os.environ['PATH']}", "SEEN": str(seen)}
    (path,) = [each for each in SCRIPTS if each.name == script]
    return subprocess.run(
        ["bash", path, *arguments], env=environ, capture_output=True, text=True, timeout=60, check=False
    )


@each_that_asks
def test_a_script_asks_the_cloud_for_what_it_says(
    tmp_path: Path, script: str, arguments: list[str], carried_out: str
) -> None:
    assert spied_on(tmp_path / "seen", script, *arguments).returncode == 0
    assert (tmp_path / "seen").read_text() == carried_out


@each_that_asks
def test_a_dry_run_says_the_same_and_asks_for_nothing(
    tmp_path: Path, script: str, arguments: list[str], carried_out: str
) -> None:
    done = spied_on(tmp_path / "seen", script, *arguments, "--dry-run")
    assert [" ".join(shlex.split(line)) for line in done.stdout.splitlines()] == carried_out.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    misused = spied_on(tmp_path / "seen", script, *arguments, "--dry")
    assert (misused.returncode, "--dry is no option of this script" in misused.stderr) == (2, True)
    assert not (tmp_path / "seen").exists()


def test_the_list_of_erasures_in_the_bucket_only_grows(tmp_path: Path) -> None:
    bucket, made = tmp_path / "bucket", tmp_path / "bin"
    bucket.mkdir()
    made.mkdir()
    (made / "gcloud").write_text(
        '#!/bin/sh\ncase "$2" in\nls) test -z "$SICK" && test -e "${3#gs://}" ;;\n'
        'cp) { test -z "$5" || test ! -e "${4#gs://}"; } && cp "${3#gs://}" "${4#gs://}" ;;\nesac\n'
    )
    (made / "tai-autonomics").write_text('#!/bin/sh\necho "$5 $6" >> "$4/erasures.jsonl"\n')
    for each in made.iterdir():
        each.chmod(0o755)
    (script,) = [each for each in SCRIPTS if each.name == "erasures.sh"]

    def brought_up_to_date(sick: str = "") -> int:
        environ = {"PATH": f"{made}:{os.environ['PATH']}", "SICK": sick}
        command = ["bash", script, "p", "d1", f"gs://{bucket}"]
        return subprocess.run(command, env=environ, capture_output=True, timeout=60, check=False).returncode

    assert [brought_up_to_date(), brought_up_to_date()] == [0, 0]
    assert (bucket / "erasures.jsonl").read_text() == "--store firestore://p/d1\n" * 2
    assert brought_up_to_date(sick="the bucket cannot be looked at") == 1
    assert (bucket / "erasures.jsonl").read_text() == "--store firestore://p/d1\n" * 2


def test_terraform_lets_nobody_delete_the_database_and_keeps_what_brings_it_back() -> None:
    kept = dict(re.findall(r'(\w+) += "?([^"\n]+)"?\n', TERRAFORM))
    assert kept["point_in_time_recovery_enablement"] == "POINT_IN_TIME_RECOVERY_ENABLED"
    assert kept["delete_protection_state"] == "DELETE_PROTECTION_ENABLED"
    assert kept["prevent_destroy"] == "true"
    assert "daily_recurrence {}" in TERRAFORM
