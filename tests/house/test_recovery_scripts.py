"""
What is done to the cloud in an emergency, and at each delivery: each script does what its dry run prints, stops at the
first failure, and is repeated without harm. `gcloud` is a double (tests/engines/cloud_double.py); what is called is
held against the real one's own table of commands and flags. Nothing here was carried out in Google's cloud.
"""

import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Final

import pytest
from msgspec import Struct
from tests.engines import cloud_double
from tests.engines.absence import absent

from tai_autonomics.cli.app import run as command_line

pytestmark = pytest.mark.long

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
DOUBLED: Final = ("gcloud", "curl", "docker", "sleep", "tai-autonomics", "python3")
IMAGE: Final = "europe-west1-docker.pkg.dev/my-project/images/tai-autonomics"
DIGEST: Final = "sha256:" + "a" * 64
OLD, NEW = (f"{name}@my-project.iam.gserviceaccount.com" for name in ("old-push", "new-push"))
COMMAND: Final = f"""#!{sys.executable} -SE
import sys
sys.path.insert(0, {str(Path(cloud_double.__file__).parent)!r})
import cloud_double
cloud_double.main()
"""
READS: Final = {"describe", "list", "access", "print-access-token", "inspect", "curl", "sleep", "python3"}


class Cloud:
    """The double's commands in a directory of their own, and what they are to know."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in DOUBLED:
            command = folder / name
            command.write_text(COMMAND)
            command.chmod(0o755)
        self.state = start()

    @property
    def state(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "state.json").read_text()))

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        (self.folder / "state.json").write_text(json.dumps(state))
        (self.folder / "seen.jsonl").write_text("")

    def set(self, **changes: Any) -> None:
        self.state = self.state | changes

    @property
    def seen(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "seen.jsonl").read_text().splitlines()]

    def known(self) -> dict[str, Any]:
        """What the cloud holds, without how it was told to behave."""
        told = ("calls", "fail_at", "persisted", "operations")
        return {name: value for name, value in self.state.items() if name not in told}

    def run(self, script: str, *arguments: str, **environ: str) -> CompletedProcess[str]:
        if shutil.which("jq") is None:
            absent("jq", "apt-get install jq")
        issued = {"JWT_ISSUER": "https://id.example.com/", "JWT_AUDIENCE": "tai"}
        environ = issued | environ | {"PATH": f"{self.folder}:{os.environ['PATH']}", "TMPDIR": str(self.folder)}
        command = ["bash", str(DEPLOY / script), *arguments]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


def start() -> dict[str, Any]:
    """Revision 1 serves, revision 0 did before; a database that was made fit lies beside the live one."""
    environ = [
        {"name": "STORE_URL", "value": "firestore://"},
        {"name": "JWT_KEYS", "value": "/keys/jwks.json"},
        {"name": "MARKETPLACE_WEBHOOK_SECRETS", "value": "gsm://projects/my-project/secrets/keys"},
    ]
    spec = {
        "containers": [{"image": "old", "ports": [{"containerPort": 8080}], "env": environ}, {"image": "sidecar"}],
        "volumes": [{"name": "keys", "secret": {"secretName": "jwks", "items": [{"key": "3", "path": "jwks.json"}]}}],
    }
    service = {
        "metadata": {"name": "svc"},
        "spec": {"template": {"metadata": {"labels": {}}, "spec": spec}},
        "status": {
            "latestCreatedRevisionName": "svc-00002",
            "traffic": [
                {"revisionName": "svc-00002", "percent": 100},
                {"revisionName": "svc-00001", "tag": "previous", "url": "https://previous---svc-x-ew.a.run.app"},
            ],
        },
    }
    protected = {
        "type": "FIRESTORE_NATIVE",
        "pointInTimeRecoveryEnablement": "POINT_IN_TIME_RECOVERY_ENABLED",
        "deleteProtectionState": "DELETE_PROTECTION_ENABLED",
    }
    names = [f"{cloud_double.PROJECT}/databases/{name}" for name in ("(default)", "restored-1")]
    place = f"{cloud_double.PROJECT}/locations/eur3/backups"
    return {
        "calls": 0,
        "service": service,
        "revisions": {name: cloud_double.revision(name) for name in ("svc-00001", "svc-00002")},
        "databases": [{"name": name, **protected} for name in names],
        "schedules": [{"retention": "2592000s"}],
        "operations": [],
        "backups": [
            {"name": f"{place}/{name}", "database": names[0], "snapshotTime": taken, "state": state}
            for name, taken, state in (
                ("older", "2026-11-28T02:30:00Z", "READY"),
                ("newest", "2026-11-29T02:30:00.123456Z", "READY"),
                ("unfinished", "2026-11-30T02:30:00Z", "CREATING"),
            )
        ],
        "versions": [
            {"name": f"projects/7/secrets/keys/versions/{number}", "state": state, "value": f"value {number}"}
            for number, state in ((1, "DISABLED"), (2, "ENABLED"))
        ],
        "push": {
            "pushEndpoint": "https://tai.example.com/pubsub",
            "oidcToken": {"serviceAccountEmail": OLD, "audience": "tai"},
        },
        "accounts": [{"email": OLD}],
        "bindings": {},
        "vulnerabilities": [],
        "requests": "400",
        "errors": "4",
    }


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    (tmp_path / "bin").mkdir()
    (tmp_path / "erasures.jsonl").write_text("")
    (tmp_path / "value").write_text("value 3")
    return Cloud(tmp_path / "bin")


class Script(Struct, frozen=True):
    """A script with arguments that work, and what its stand-ins stand for in a real run."""

    path: str
    arguments: tuple[str, ...]
    stands_for: dict[str, str] = {}

    def given(self, cloud: Cloud) -> tuple[str, ...]:
        return tuple(each.replace("FOLDER", str(cloud.folder.parent)) for each in self.arguments)


ON: Final = ("my-project", "europe-west1", "svc")
RENEWED: Final = {"NEW_REVISION": "svc-00003", "SERVING_REVISION": "svc-00002", "SERVING_IMAGE": "old"}
SCRIPTS: Final = {
    script.path.rpartition("/")[2]: script
    for script in (
        Script("cloud_run/roll-back.sh", ON, {"PREVIOUS_REVISION": "svc-00001"}),
        Script("cloud_run/promote.sh", (*ON, "svc-00001", "10"), {"STABLE_REVISION": "svc-00002"}),
        Script(
            "cloud_run/candidate.sh",
            (*ON, f"{IMAGE}@{DIGEST}", "FOLDER/value"),
            {"CANDIDATE": "svc-00003", "STABLE_REVISION": "svc-00002"},
        ),
        Script("cloud_run/watch.sh", ("my-project", "svc", "svc-00002", "360")),
        Script("firestore/switch.sh", (*ON, "restored-1"), RENEWED),
        Script(
            "firestore/drill.sh",
            ("my-project", "eur3", "(default)", "drill-1", "FOLDER"),
            {"BACKUP": f"{cloud_double.PROJECT}/locations/eur3/backups/newest"},
        ),
        Script(
            "keys/replace-secret.sh",
            (*ON, "MARKETPLACE_WEBHOOK_SECRETS", "keys", "FOLDER/value"),
            {**RENEWED, "NEW_VERSION": "3", "OLDER_VERSION": "2"},
        ),
        Script(
            "keys/replace-push-account.sh",
            (*ON, "sub", "new-push"),
            {
                **RENEWED,
                "OLD_ACCOUNT": OLD,
                "PROJECT_NUMBER": "7",
                "PUSH_ENDPOINT": "https://tai.example.com/pubsub",
                "PUSH_AUDIENCE": "tai",
            },
        ),
        Script(
            "image/scan.sh",
            ("my-project", "europe", f"{IMAGE}:v1"),
            {"SCAN": "projects/my-project/locations/europe/scans/1"},
        ),
        Script("checklist.sh", (*ON, "https://candidate---svc-x-ew.a.run.app", "checklist-key", "FOLDER/sign-off")),
        Script("image/push.sh", ("my-project", f"{IMAGE}:v1")),
    )
}
DOUBLED_ELSEWHERE: Final = tuple(
    Script(f"firestore/{name}.sh", tuple(arguments))
    for name, *arguments in (
        ("clone", "my-project", "(default)", "2026-11-24T02:30:00Z", "new-1"),
        ("erasures", "my-project", "(default)", "gs://bucket/folder"),
        ("export", "my-project", "(default)", "gs://bucket/folder"),
        ("import", "my-project", "eur3", "new-1", "gs://bucket/folder/moment"),
        ("restore", "my-project", "eur3"),
        ("restore", "my-project", "eur3", "backup", "new-1"),
        ("schedule", "my-project", "new-1"),
    )
)
"""What they do is in test_deploy.py; what they call, the real one has to have too."""
NEWER: Final = ["firestore", "databases", "clone"]
"""gcloud 528 lacks it; deploy/README.md says so."""
each_script = pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)


def printed(cloud: Cloud, script: Script) -> list[list[str]]:
    """The commands of a dry run."""
    done = cloud.run(script.path, *script.given(cloud), "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    return [shlex.split(line) for line in done.stdout.splitlines()]


def settled(calls: list[list[str]]) -> list[list[str]]:
    """Without the looks at what was not done yet, and with one name for each file that is made for a run."""
    kept: list[list[str]] = []
    for call in calls:
        if kept and kept[-1] == ["sleep", "30"]:
            del kept[-2:]
        kept.append([_named(each) for each in call])
    return kept


def _named(argument: str) -> str:
    return re.sub(r"/[^=@]*/tmp\.\w+", "KEPT", argument)


@each_script
def test_a_dry_run_prints_exactly_what_the_real_run_calls_and_calls_nothing(cloud: Cloud, script: Script) -> None:
    before = cloud.known()
    lines = printed(cloud, script)
    assert (cloud.seen, cloud.known()) == ([], before)
    done = cloud.run(script.path, *script.given(cloud))
    assert done.returncode == 0, done.stderr

    def real(argument: str) -> str:
        for stand_in, name in script.stands_for.items():
            argument = argument.replace(stand_in, name)
        return argument

    assert [[real(each) for each in line] for line in lines] == settled(cloud.seen)


@each_script
def test_a_repeat_changes_nothing(cloud: Cloud, script: Script) -> None:
    assert cloud.run(script.path, *script.given(cloud)).returncode == 0
    after, calls = cloud.known(), len(cloud.seen)
    again = cloud.run(script.path, *script.given(cloud))
    assert again.returncode == 0, again.stderr
    if script.path != "cloud_run/candidate.sh":  # with a file of variables it makes a revision each time
        assert cloud.known() == after
        assert not [call for call in cloud.seen[calls:] if _alters(call)]


def _alters(call: list[str]) -> bool:
    """Bindings are added to what is there; a push and a drill are done again by nature."""
    again = {
        "add-iam-policy-binding",
        "scan",
        "list-vulnerabilities",
        "configure-docker",
        "push",
        "restore",
        "delete",
        "tai-autonomics",
    }
    return not READS & set(call) and not again & set(call)


@each_script
@pytest.mark.parametrize("persisted", [False, True], ids=["lost", "done but told as failed"])
def test_a_failure_half_way_stops_the_script_and_a_repeat_ends_it(
    cloud: Cloud, script: Script, persisted: bool
) -> None:
    assert cloud.run(script.path, *script.given(cloud)).returncode == 0
    calls, whole = cloud.seen, cloud.known()
    alters = [number for number, call in enumerate(calls, start=1) if not READS & set(call)]
    for number in alters if persisted else [1, *alters]:
        call = calls[number - 1]
        cloud.state = start()
        cloud.set(fail_at=number, persisted=persisted)
        cut = cloud.run(script.path, *script.given(cloud))
        assert cut.returncode == 1, (call, cut.stderr)
        assert len(cloud.seen) == number, call
        ended = cloud.run(script.path, *script.given(cloud))
        assert ended.returncode == 0, (call, ended.stderr)
        if script.path == "cloud_run/candidate.sh":
            assert cloud.state["service"]["status"]["traffic"][0] == {"revisionName": "svc-00002", "percent": 100}
        else:
            assert cloud.known() == whole, call


@each_script
def test_a_wrong_input_is_refused_before_the_first_step(cloud: Cloud, script: Script) -> None:
    given = script.given(cloud)
    for place, each in enumerate(given):
        for wrong in ("", "--force", "$(id)"):
            arguments = [*given[:place], wrong, *given[place + 1 :]]
            if (wrong, place, script.path) == ("", 4, "cloud_run/candidate.sh"):
                continue  # it is optional
            done = cloud.run(script.path, *arguments)
            assert done.returncode in (1, 2), (each, wrong)
            assert cloud.seen == [], (each, wrong)


def flags_of(tree: dict[str, Any], words: list[str]) -> set[str] | None:
    """The flags of a command in gcloud's own table, or None where it has no such command."""
    flags = set(tree["flags"])
    for word in words:
        if word not in tree["commands"]:
            return None if tree["commands"] else flags
        tree = tree["commands"][word]
        flags |= set(tree["flags"])
    return flags


@pytest.fixture(scope="module")
def table() -> dict[str, Any]:
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        absent("the Google Cloud CLI", "apt-get install google-cloud-cli")
    file = Path(gcloud).resolve().parents[1] / "data" / "cli" / "gcloud_completions.py"
    return dict(runpy.run_path(str(file))["STATIC_COMPLETION_CLI_TREE"])


def test_every_command_and_flag_is_one_that_gcloud_has(cloud: Cloud, table: dict[str, Any]) -> None:
    calls = [
        line[1:]
        for script in (*SCRIPTS.values(), *DOUBLED_ELSEWHERE)
        for line in printed(cloud, script)
        if line[0] == "gcloud"
    ]
    assert len(calls) > 60
    for call in calls:
        words = [each for each in call if not each.startswith("-")]
        if (flags := flags_of(table, words)) is None:
            assert words[:3] == NEWER, call
            continue
        used = {each.partition("=")[0] for each in call if each.startswith("--")}
        assert used <= flags, (call, used - flags)
    assert flags_of(table, ["run", "services", "roll-back"]) is None
    assert "--to-everything" not in (flags_of(table, ["run", "services", "update-traffic"]) or ())


def test_the_sign_off_names_who_deployed_and_looks_at_the_services_own_database(cloud: Cloud) -> None:
    checklist = SCRIPTS["checklist.sh"]
    for wrong in ({"FIRESTORE_DATABASE": "ledgers;id"}, {"DEPLOYED_BY": "$(id)"}):
        assert cloud.run(checklist.path, *checklist.given(cloud), **wrong).returncode == 2
    assert cloud.seen == []
    said = {"FIRESTORE_DATABASE": "ledgers-2", "DEPLOYED_BY": "release[bot]"}
    done = cloud.run(checklist.path, *checklist.given(cloud), **said)
    assert done.returncode == 0, done.stderr
    *_, last = cloud.seen
    assert last[last.index("--google-database") + 1] == "ledgers-2"
    assert "--deployed-by=release[bot]" in last
    viewers = next(call for call in cloud.seen if "viewer" in call)
    assert last[last.index("--tenant-token-file") + 1] == viewers[viewers.index("--output") + 1]


def test_what_the_scripts_ask_of_this_program_it_has(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    calls = [line[1:] for script in SCRIPTS.values() for line in printed(cloud, script) if line[0] == "tai-autonomics"]
    assert {call[0] for call in calls} == {"checklist", "restore", "token"}
    for call in calls:
        assert command_line([*call, "--help"]) == 0, (call, capsys.readouterr().err)
    assert command_line(["checklist", "--no-such-option", "--help"]) == 2


def test_traffic_goes_back_to_the_revision_that_was_promoted_from(cloud: Cloud) -> None:
    for percent in ("10", "50", "100"):
        assert cloud.run("cloud_run/promote.sh", *ON, "svc-00001", percent).returncode == 0
    assert cloud.state["service"]["status"]["traffic"] == [
        {"revisionName": "svc-00001", "percent": 100},
        {"revisionName": "svc-00002", "tag": "previous", "url": "https://previous---svc-x-ew.a.run.app"},
    ]
    back = cloud.run("cloud_run/roll-back.sh", *ON)
    assert (back.returncode, back.stdout) == (0, "revision=svc-00002\n")


@pytest.mark.parametrize("share", [None, "10"])
def test_a_candidate_that_was_gone_back_from_is_not_kept_running_by_its_tag(cloud: Cloud, share: str | None) -> None:
    assert cloud.run("cloud_run/candidate.sh", *ON, f"{IMAGE}@{DIGEST}").returncode == 0
    if share is not None:
        assert cloud.run("cloud_run/promote.sh", *ON, "svc-00003", share).returncode == 0
    back = cloud.run("cloud_run/roll-back.sh", *ON, "svc-00002")
    assert (back.returncode, back.stdout) == (0, "revision=svc-00002\n"), back.stderr
    assert "svc-00003" not in json.dumps(cloud.state["service"]["status"]["traffic"])
    calls = len(cloud.seen)
    assert cloud.run("cloud_run/roll-back.sh", *ON, "svc-00002").returncode == 0
    assert not [call for call in cloud.seen[calls:] if _alters(call)]


def test_no_traffic_goes_to_a_revision_that_is_not_ready_or_another_services(cloud: Cloud) -> None:
    strange = cloud_double.revision("other-00001")
    strange["metadata"]["labels"] = {"serving.knative.dev/service": "other"}
    known = cloud.state["revisions"]
    cloud.set(revisions=known | {"svc-00001": cloud_double.revision("svc-00001", "False"), "other-00001": strange})
    before = cloud.known()
    for name, why in (("svc-00001", "is not ready"), ("other-00001", "is no revision of svc")):
        for script, rest in (("roll-back.sh", ()), ("promote.sh", ("10",))):
            done = cloud.run(f"cloud_run/{script}", *ON, name, *rest)
            assert (done.returncode, why in done.stderr) == (1, True)
    assert cloud.known() == before


def test_a_roll_back_without_a_tag_asks_for_a_name(cloud: Cloud) -> None:
    service = cloud.state["service"]
    service["status"]["traffic"].pop()
    cloud.set(service=service)
    done = cloud.run("cloud_run/roll-back.sh", *ON)
    assert (done.returncode, "no revision is tagged previous" in done.stderr) == (1, True)
    assert cloud.run("cloud_run/roll-back.sh", *ON, "svc-00001").returncode == 0


@pytest.mark.parametrize(
    ("requests", "errors", "passes"),
    [("400", "4", True), ("400", "5", False), ("0", "0", False), ("19", "0", False)],
)
def test_a_watch_fails_over_the_error_rate_and_where_nothing_was_seen(
    cloud: Cloud, requests: str, errors: str, passes: bool
) -> None:
    cloud.set(requests=requests, errors=errors)
    done = cloud.run("cloud_run/watch.sh", "my-project", "svc", "svc-00002", "360")
    assert done.returncode == (0 if passes else 1), done.stderr
    assert "ya29" not in json.dumps(cloud.seen) + done.stdout + done.stderr
    assert not list(cloud.folder.glob("tmp.*"))


def test_a_database_that_is_not_protected_or_not_backed_up_is_not_switched_to(cloud: Cloud) -> None:
    live, restored = cloud.state["databases"]
    for changes in (
        {"databases": [live, restored | {"deleteProtectionState": "DELETE_PROTECTION_DISABLED"}]},
        {"databases": [live, restored | {"type": "DATASTORE_MODE"}]},
        {"schedules": []},
    ):
        cloud.state = start() | changes
        done = cloud.run("firestore/switch.sh", *ON, "restored-1")
        assert done.returncode == 1
        assert not [call for call in cloud.seen if _alters(call)]


@pytest.mark.parametrize("url", ["firestore://my-project/(default)", "postgresql://x", None])
def test_a_switch_is_refused_where_the_url_of_the_store_names_the_database(cloud: Cloud, url: str | None) -> None:
    service = cloud.state["service"]
    service["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = url
    cloud.set(service=service)
    done = cloud.run("firestore/switch.sh", *ON, "restored-1")
    assert (done.returncode, "STORE_URL of svc names a database" in done.stderr) == (1, True)


def test_after_a_switch_no_tag_leads_back_to_the_old_database(cloud: Cloud) -> None:
    assert cloud.run("firestore/switch.sh", *ON, "restored-1").returncode == 0
    assert cloud.state["service"]["status"]["traffic"] == [{"revisionName": "svc-00003", "percent": 100}]


@pytest.mark.parametrize("script", ["switch.sh", "replace-secret.sh", "replace-push-account.sh"])
def test_an_image_that_was_turned_down_gets_no_traffic_by_another_change(cloud: Cloud, script: str) -> None:
    assert cloud.run("cloud_run/candidate.sh", *ON, f"{IMAGE}@{DIGEST}").returncode == 0
    assert cloud.run(SCRIPTS[script].path, *SCRIPTS[script].given(cloud)).returncode == 0
    (serves,) = cloud.state["service"]["status"]["traffic"]
    assert cloud.state["revisions"][serves["revisionName"]]["spec"]["containers"][0]["image"] == "old"
    assert cloud.run("cloud_run/candidate.sh", *ON, f"{IMAGE}@{DIGEST}").returncode == 0
    assert cloud.run(SCRIPTS[script].path, *SCRIPTS[script].given(cloud)).returncode == 0
    assert cloud.state["service"]["status"]["traffic"][0] == serves


def test_a_new_revision_that_does_not_start_gets_no_traffic(cloud: Cloud) -> None:
    cloud.set(unready=True)
    done = cloud.run("firestore/switch.sh", *ON, "restored-1")
    assert (done.returncode, "svc-00003 is not ready" in done.stderr) == (1, True)
    assert cloud.state["service"]["status"]["traffic"][0] == {"revisionName": "svc-00002", "percent": 100}


def test_a_drill_deletes_nothing_but_its_own_database_and_fails_where_the_restore_did(cloud: Cloud) -> None:
    for name in ("(default)", "restored-1"):
        done = cloud.run("firestore/drill.sh", "my-project", "eur3", "(default)", name, str(cloud.folder.parent))
        assert (done.returncode, cloud.seen) == (2, [])
    drill = ("my-project", "eur3", "(default)", "drill-1", str(cloud.folder.parent))
    ended = cloud.run("firestore/drill.sh", *drill)
    assert ended.stdout.startswith("rto_seconds=")
    assert [each["name"].rpartition("/")[2] for each in cloud.state["databases"]] == ["(default)", "restored-1"]
    made = {"name": f"{cloud_double.PROJECT}/databases/drill-1"}
    cloud.set(databases=[*cloud.state["databases"], made], operations=[{"done": True, "error": {"code": 3}}])
    failed = cloud.run("firestore/drill.sh", *drill)
    assert (failed.returncode, "an operation failed" in failed.stderr) == (1, True)
    assert cloud.state["databases"][-1] == made


@pytest.mark.parametrize(
    ("reads", "passes"),
    [
        ({"value": "gsm://projects/my-project/secrets/keys"}, True),
        ({"value": "gsm://projects/my-project/secrets/keys/versions/latest"}, True),
        ({"value": "gsm://projects/my-project/secrets/keys/versions/2"}, False),
        ({"value": "gsm://projects/my-project/secrets/keys2"}, False),
        ({"valueFrom": {"secretKeyRef": {"name": "keys", "key": "latest"}}}, True),
        ({"valueFrom": {"secretKeyRef": {"name": "keys", "key": "2"}}}, False),
    ],
)
def test_a_secret_of_which_the_service_reads_a_pinned_version_is_not_replaced(
    cloud: Cloud, reads: dict[str, Any], passes: bool
) -> None:
    service = cloud.state["service"]
    service["spec"]["template"]["spec"]["containers"][0]["env"][2] = {"name": "MARKETPLACE_WEBHOOK_SECRETS", **reads}
    cloud.set(service=service)
    secret = (*ON, "MARKETPLACE_WEBHOOK_SECRETS", "keys", str(cloud.folder.parent / "value"))
    done = cloud.run("keys/replace-secret.sh", *secret)
    assert done.returncode == (0 if passes else 1), done.stderr
    assert [each["state"] for each in cloud.state["versions"]] == (
        ["DISABLED", "DISABLED", "ENABLED"] if passes else ["DISABLED", "ENABLED"]
    )
    assert "value 3" not in json.dumps(cloud.seen) + done.stdout + done.stderr


def test_a_stolen_push_account_is_disabled_before_anything_else_changes(cloud: Cloud) -> None:
    assert cloud.run("keys/replace-push-account.sh", *ON, "sub", "new-push").returncode == 0
    first = next(call for call in cloud.seen if not READS & set(call))
    assert first[:5] == ["gcloud", "iam", "service-accounts", "disable", OLD]
    assert cloud.state["push"]["oidcToken"] == {"serviceAccountEmail": NEW, "audience": "tai"}
    assert cloud.state["accounts"] == [{"email": OLD, "disabled": True}, {"email": NEW}]


@pytest.mark.parametrize(
    ("severity", "has_fix", "passes"),
    [("CRITICAL", False, False), ("HIGH", True, False), ("HIGH", False, True), ("MEDIUM", True, True)],
)
def test_an_image_with_a_grave_vulnerability_is_not_pushed(
    cloud: Cloud, severity: str, has_fix: bool, passes: bool
) -> None:
    flaw = {"effectiveSeverity": severity, "fixAvailable": has_fix}
    cloud.set(vulnerabilities=[{"noteName": "projects/goog-vulnz/notes/CVE-2026-1", "vulnerability": flaw}])
    done = cloud.run("image/scan.sh", "my-project", "europe", f"{IMAGE}:v1")
    assert done.returncode == (0 if passes else 1), done.stderr
    assert passes or "CVE-2026-1" in done.stderr


def test_what_is_deployed_is_named_by_the_digest_that_was_pushed(cloud: Cloud) -> None:
    assert cloud.run("image/push.sh", "my-project", f"{IMAGE}:v1").stdout == f"image={IMAGE}@{DIGEST}\n"
    by_tag = cloud.run("cloud_run/candidate.sh", *ON, f"{IMAGE}:v1")
    assert (by_tag.returncode, "IMAGE is" in by_tag.stderr) == (2, True)


def test_a_candidate_says_where_it_is_and_what_serves_meanwhile(cloud: Cloud) -> None:
    for _ in range(2):  # of one image there is one candidate
        done = cloud.run("cloud_run/candidate.sh", *ON, f"{IMAGE}@{DIGEST}")
        assert done.stdout.splitlines() == [
            "revision=svc-00003",
            "url=https://candidate---svc-x-ew.a.run.app",
            "stable=svc-00002",
        ]


@pytest.mark.parametrize(
    ("setting", "value", "passes"),
    [
        ("MARKETPLACE_WEBHOOK_SECRETS", "crm=whsec_" + "A" * 32, True),
        ("MARKETPLACE_WEBHOOK_SECRETS", "crm=hunter2", False),
        ("JWT_KEYS", '{"keys": [{"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQ", "kid": "a"}]}', False),
        (
            "JWT_KEYS",
            '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}',
            True,
        ),
    ],
)
def test_a_value_that_the_service_cannot_use_is_refused_and_not_said(
    tmp_path: Path, setting: str, value: str, passes: bool
) -> None:
    (tmp_path / "value").write_text(value)
    command = [sys.executable, str(DEPLOY / "keys" / "secret_value.py"), setting, str(tmp_path / "value")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == (0 if passes else 1), done.stderr
    assert setting in done.stderr or passes
    assert value not in done.stderr
    assert "hunter2" not in done.stderr
