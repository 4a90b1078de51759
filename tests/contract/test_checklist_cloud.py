"""
What the checklist asks of Google's APIs: answers in their real form, of a project that is as Terraform makes it and of
ones that are not.

Cloud Run's and Firestore's answers are written by Google's own types; Monitoring's and Logging's, whose clients are not
locked here, by hand after their reference (monitoring v3 projects.alertPolicies, v1 projects.dashboards, logging v2
entries.list).
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from google.cloud import run_v2
from google.cloud.firestore_admin_v1 import types
from google.protobuf.duration_pb2 import Duration

from tai_autonomics.cli.checklist import cloud
from tai_autonomics.cli.checklist.asking import asking
from tai_autonomics.cli.checklist.judging import judge
from tai_autonomics.cli.checklist.lines import Line
from tai_autonomics.cli.checklist.run import Google, Run, Wanted
from tai_autonomics.wiring import SystemClock

ROOT = Path(__file__).parents[2]
TOKEN = "an-access-token"
SERVICE = "/v2/projects/p/locations/r/services/s"
DATABASE = "/v1/projects/p/databases/d"
ALERTS = json.loads((ROOT / "terraform" / "alerts.json").read_text())
Answers = dict[str, Any]


def service(**template: Any) -> dict[str, Any]:
    """The service as terraform/run.tf has it."""
    given = {
        "service_account": "tai-autonomics-sa@p.iam.gserviceaccount.com",
        "timeout": Duration(seconds=300),
        "scaling": run_v2.RevisionScaling(min_instance_count=1, max_instance_count=100),
    } | template
    made = run_v2.Service(
        name="projects/p/locations/r/services/s",
        template=run_v2.RevisionTemplate(**given),
        latest_ready_revision=f"{SERVICE}/revisions/s-00002",
        uri="https://s.run.app",
    )
    return json.loads(
        run_v2.Service.to_json(made, use_integers_for_enums=False, always_print_fields_with_no_presence=False)
    )


def revisions(*names: str) -> dict[str, Any]:
    made = run_v2.ListRevisionsResponse(
        revisions=[run_v2.Revision(name=f"{SERVICE}/revisions/{each}") for each in names]
    )
    return json.loads(
        run_v2.ListRevisionsResponse.to_json(
            made, use_integers_for_enums=False, always_print_fields_with_no_presence=False
        )
    )


def schedules(days: int = 30) -> dict[str, Any]:
    made = types.ListBackupSchedulesResponse(
        backup_schedules=[
            types.BackupSchedule(retention=Duration(seconds=days * 86400), daily_recurrence=types.DailyRecurrence())
        ]
    )
    return json.loads(
        types.ListBackupSchedulesResponse.to_json(
            made, use_integers_for_enums=False, always_print_fields_with_no_presence=False
        )
    )


def database(*, recoverable: bool = True) -> dict[str, Any]:
    kinds = types.Database
    enabled, disabled = kinds.PointInTimeRecoveryEnablement(1), kinds.PointInTimeRecoveryEnablement(2)
    made = kinds(
        point_in_time_recovery_enablement=enabled if recoverable else disabled,
        delete_protection_state=kinds.DeleteProtectionState.DELETE_PROTECTION_ENABLED,
    )
    return json.loads(kinds.to_json(made, use_integers_for_enums=False, always_print_fields_with_no_presence=False))


def policies(*lacking: str, told: bool = True, enabled: bool = True) -> dict[str, Any]:
    return {
        "alertPolicies": [
            {
                "displayName": name,
                "enabled": enabled,
                "conditions": [{"conditionPrometheusQueryLanguage": {"query": alert["query"]}}],
                "notificationChannels": ["projects/p/notificationChannels/1"] if told else [],
            }
            for name, alert in ALERTS.items()
            if name not in lacking
        ]
    }


def sound() -> Answers:
    return {
        SERVICE: service(),
        f"{SERVICE}/revisions": revisions("s-00002", "s-00001"),
        f"{DATABASE}/backupSchedules": schedules(),
        DATABASE: database(),
        "/v2/entries:list": {"entries": [{"timestamp": "2026-11-30T12:00:00Z"}]},
        "/v1/projects/p/location/global/prometheus/api/v1/query": {
            "status": "success",
            "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1764500000, "2"]}]},
        },
        "/v3/projects/p/alertPolicies": policies(),
        "/v1/projects/p/dashboards": {"dashboards": [json.loads((ROOT / "terraform" / "dashboard.json").read_text())]},
    }


class AskedGoogle:
    def __init__(self) -> None:
        self.answers: Answers = {}
        self.tokens: set[str | None] = set()
        self.refused: dict[str, int] = {}


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[AskedGoogle]:
    """All four APIs at one address, which answers what the test says."""
    state = AskedGoogle()

    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True
        wbufsize = -1

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            path = urlsplit(self.path).path
            state.tokens.add(self.headers["authorization"])
            status = state.refused.get(path, 200 if path in state.answers else 404)
            said = state.answers[path] if status == 200 else {"error": {"code": status, "message": "not for you"}}
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815  # http.server's names

        def log_message(self, *_: Any) -> None:
            """Nothing on stderr."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        for name in ("RUN", "FIRESTORE", "MONITORING", "LOGGING"):
            monkeypatch.setattr(cloud, name, f"http://127.0.0.1:{server.server_port}")
        yield state
        server.shutdown()
        serving.join()


def judged(at: Google | None) -> dict[str, Line]:
    async def work() -> list[Line]:
        url = "http://127.0.0.1:9"
        async with asking(url, "none") as ask:
            run = Run(ask, Wanted(url=url, google=at), now=SystemClock().now(), chance=bytes(28))
            return await judge((cloud.SECTION,), run, lambda _: None)

    return {line.id: line for line in asyncio.run(work())}


AT = Google("p", "r", "s", "d", TOKEN)
NO_API = {"cloud-traces", "cloud-scaling"}


def by_outcome(lines: dict[str, Line], outcome: str) -> set[str]:
    return {name for name, line in lines.items() if line.outcome == outcome}


def test_a_project_as_terraform_makes_it_has_evidence_for_every_line_that_an_api_can_prove(google: AskedGoogle) -> None:
    google.answers = sound()
    lines = judged(AT)
    assert {name: line.detail for name, line in lines.items() if line.outcome not in ("evidence", "open")} == {}
    assert by_outcome(lines, "open") == NO_API
    assert google.tokens == {f"Bearer {TOKEN}"}
    assert lines["cloud-service"].evidence["max_instances"] == 100


@pytest.mark.parametrize(
    ("path", "answer", "failing"),
    [
        (SERVICE, lambda: service(scaling=run_v2.RevisionScaling(max_instance_count=100)), "cloud-service"),
        (SERVICE, lambda: service(service_account="1-compute@developer.gserviceaccount.com"), "cloud-service"),
        (f"{SERVICE}/revisions", lambda: revisions("s-00001"), "cloud-revisions"),
        (f"{DATABASE}/backupSchedules", dict, "cloud-backups"),
        (f"{DATABASE}/backupSchedules", lambda: schedules(days=7), "cloud-backups"),
        (DATABASE, lambda: database(recoverable=False), "cloud-backups"),
        ("/v2/entries:list", dict, "cloud-logs"),
        ("/v1/projects/p/location/global/prometheus/api/v1/query", lambda: {"data": {"result": []}}, "cloud-metrics"),
        ("/v3/projects/p/alertPolicies", lambda: policies("TaiQuotaLow"), "cloud-alerts"),
        ("/v3/projects/p/alertPolicies", lambda: policies(told=False), "cloud-alerts"),
        ("/v3/projects/p/alertPolicies", lambda: policies(enabled=False), "cloud-alerts"),
        ("/v1/projects/p/dashboards", dict, "cloud-dashboard"),
    ],
)
def test_what_lacks_fails_at_its_own_line_and_only_there(
    google: AskedGoogle, path: str, answer: Callable[[], Any], failing: str
) -> None:
    google.answers = {**sound(), path: answer()}
    assert by_outcome(judged(AT), "failed") == {failing}


def test_what_an_api_refuses_to_say_stays_open_with_the_command_that_shows_it(google: AskedGoogle) -> None:
    google.answers, google.refused = sound(), {SERVICE: 403}
    line = judged(AT)["cloud-service"]
    assert (line.outcome, line.detail) == (
        "open",
        "127.0.0.1 answered 403: not for you; by hand: `gcloud run services describe s --region=r`",
    )


def test_without_credentials_every_line_is_open_with_its_command() -> None:
    lines = judged(None)
    assert by_outcome(lines, "open") == set(lines)
    assert all("gcloud" in line.detail for name, line in lines.items() if name != "cloud-scaling")


def test_every_alert_that_is_looked_for_is_one_that_terraform_makes() -> None:
    queries = [alert["query"] for alert in ALERTS.values()]
    assert [name for name, series in cloud.ALERTS.items() if not any(series in query for query in queries)] == []
