"""
What cannot be seen of a service from outside: asked of Google's APIs with the caller's access token, else left open
with the command that shows it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import httpx
import msgspec

from tai_autonomics.cli.checklist.asking import tls
from tai_autonomics.cli.checklist.lines import Found, Row, Section, Wrong, failed, left_open, shown
from tai_autonomics.cli.checklist.run import Google, Run

TIMEOUT_SECONDS: Final = 30.0
PAGES_MAX: Final = 20
RUN, FIRESTORE, MONITORING, LOGGING = (
    f"https://{each}.googleapis.com" for each in ("run", "firestore", "monitoring", "logging")
)
RETENTION_SECONDS: Final = 30 * 86400
ALERTS: Final = {
    "HTTP error rate": "tai_http_requests_total",
    "latency": "tai_http_request_duration_seconds",
    "container restarts": "process_start_time_seconds",
    "Firestore connectivity": "tai_check_up",
    "Pub/Sub lag": "tai_push_message_age_seconds",
    "low quota": "tai_quotas_nearly_used",
}
"""The six of the production checklist, each with a series that its policy asks for."""


class CannotAsk(Exception):
    """The API did not say: the line stays open."""


class Cloud:
    """Google's APIs, read only."""

    def __init__(self, client: httpx.AsyncClient, at: Google) -> None:
        self._client = client
        self.at = at

    async def get(self, url: str, **query: str) -> dict[str, Any]:
        return await self._read(self._client.build_request("GET", url, params=query))

    async def post(self, url: str, body: dict[str, Any]) -> dict[str, Any]:
        return await self._read(self._client.build_request("POST", url, json=body))

    async def every(self, url: str, member: str) -> list[dict[str, Any]]:
        """The items of all pages."""
        items: list[dict[str, Any]] = []
        query: dict[str, str] = {}
        for _ in range(PAGES_MAX):
            page = await self.get(url, **query)
            items += page.get(member, [])
            if not page.get("nextPageToken"):
                return items
            query = {"pageToken": page["nextPageToken"]}
        raise Wrong(f"{url} has more than {PAGES_MAX} pages")

    async def _read(self, request: httpx.Request) -> dict[str, Any]:
        try:
            answer = await self._client.send(request)
        except httpx.HTTPError as error:
            raise CannotAsk(f"{request.url.host} has no answer: {str(error) or error.__class__.__name__}") from error
        if answer.status_code != 200:
            raise CannotAsk(f"{request.url.host} answered {answer.status_code}: {_said(answer)}")
        try:
            return msgspec.json.decode(answer.content, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise CannotAsk(f"{request.url.host} answered with something else than JSON") from error


def _said(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase


@asynccontextmanager
async def cloud(at: Google) -> AsyncIterator[Cloud]:
    async with httpx.AsyncClient(
        headers={"authorization": f"Bearer {at.token}"}, timeout=TIMEOUT_SECONDS, verify=tls(), follow_redirects=False
    ) as client:
        yield Cloud(client, at)


async def service_is_configured(cloud: Cloud) -> Found:
    at = cloud.at
    service = await cloud.get(f"{RUN}/v2/projects/{at.project}/locations/{at.region}/services/{at.service}")
    template = service.get("template", {})
    scaling = {**template.get("scaling", {}), **service.get("scaling", {})}
    account = template.get("serviceAccount", "")
    evidence = {
        "revision": service.get("latestReadyRevision"),
        "min_instances": scaling.get("minInstanceCount", 0),
        "max_instances": scaling.get("maxInstanceCount"),
        "timeout": template.get("timeout"),
        "service_account": account,
        "uri": service.get("uri"),
    }
    said = (
        f"revision {str(evidence['revision']).rpartition('/')[2]}, {evidence['min_instances']} to"
        f" {evidence['max_instances']} instances, timeout {evidence['timeout']}, as {account}"
    )
    if not evidence["min_instances"] or not evidence["max_instances"]:
        return failed(f"no least or no greatest number of instances: {said}", **evidence)
    if not account or account.endswith("-compute@developer.gserviceaccount.com"):
        return failed(f"it runs as the project's default account: {said}", **evidence)
    return shown(said, **evidence)


async def a_revision_to_go_back_to(cloud: Cloud) -> Found:
    at = cloud.at
    place = f"{RUN}/v2/projects/{at.project}/locations/{at.region}/services/{at.service}/revisions"
    names = [str(each.get("name", "")).rpartition("/")[2] for each in await cloud.every(place, "revisions")]
    if len(names) < 2:
        return failed(f"{len(names)} revision: there is none to go back to", revisions=names)
    return shown(f"{len(names)} revisions; the newest two are {', '.join(names[:2])}", revisions=names[:10])


async def backups_are_made(cloud: Cloud) -> Found:
    database = f"{FIRESTORE}/v1/projects/{cloud.at.project}/databases/{cloud.at.database}"
    schedules = (await cloud.get(f"{database}/backupSchedules")).get("backupSchedules", [])
    kept = [
        each
        for each in schedules
        if "dailyRecurrence" in each and float(str(each.get("retention", "0s")).removesuffix("s")) >= RETENTION_SECONDS
    ]
    if not kept:
        return failed("no daily backup is kept for 30 days", schedules=schedules)
    settings = await cloud.get(database)
    lacking = [
        name
        for name, wanted in (
            ("pointInTimeRecoveryEnablement", "POINT_IN_TIME_RECOVERY_ENABLED"),
            ("deleteProtectionState", "DELETE_PROTECTION_ENABLED"),
        )
        if settings.get(name) != wanted
    ]
    if lacking:
        return failed(f"{lacking[0]} is {settings.get(lacking[0])}", database=settings)
    return shown("a daily backup, kept for 30 days; point-in-time recovery and delete protection are on")


async def logs_arrive(cloud: Cloud) -> Found:
    at = cloud.at
    query = f'resource.type="cloud_run_revision" AND resource.labels.service_name="{at.service}"'
    body = {
        "resourceNames": [f"projects/{at.project}"],
        "filter": query,
        "orderBy": "timestamp desc",
        "pageSize": 1,
    }
    entries = (await cloud.post(f"{LOGGING}/v2/entries:list", body)).get("entries", [])
    if not entries:
        return failed(f"no entry for {query}")
    return shown(f"the newest entry is of {entries[0].get('timestamp')}")


async def metrics_arrive(cloud: Cloud) -> Found:
    place = f"{MONITORING}/v1/projects/{cloud.at.project}/location/global/prometheus/api/v1/query"
    answer = await cloud.get(place, query="count(tai_build_info)")
    result = answer.get("data", {}).get("result", [])
    if not result:
        return failed("Managed Service for Prometheus has no series tai_build_info")
    return shown(f"tai_build_info of {result[0]['value'][1]} instances")


async def alerts_are_on(cloud: Cloud) -> Found:
    policies = await cloud.every(f"{MONITORING}/v3/projects/{cloud.at.project}/alertPolicies", "alertPolicies")
    on = [each for each in policies if each.get("enabled", True)]
    text = {str(each.get("displayName")): msgspec.json.encode(each.get("conditions", [])).decode() for each in on}
    lacking = [name for name, series in ALERTS.items() if not any(series in said for said in text.values())]
    if lacking:
        return failed(f"no policy that is on watches {', '.join(lacking)}", policies=sorted(text))
    unheard = [str(each.get("displayName")) for each in on if not each.get("notificationChannels")]
    if unheard:
        return failed(f"nobody is told by {', '.join(unheard[:3])}", policies=sorted(text))
    return shown(
        f"{len(on)} policies are on, among them the checklist's six, and each tells somebody", policies=sorted(text)
    )


async def a_dashboard_is_there(cloud: Cloud) -> Found:
    dashboards = await cloud.every(f"{MONITORING}/v1/projects/{cloud.at.project}/dashboards", "dashboards")
    ours = [str(each.get("displayName")) for each in dashboards if "tai_" in msgspec.json.encode(each).decode()]
    if not ours:
        return failed("no dashboard shows a metric of the service")
    return shown(", ".join(ours))


def _row(id: str, says: str, check: Callable[[Cloud], Awaitable[Found]] | None, command: str) -> Row[Run]:
    return Row(id, says, partial(_asked, check, command), late=True)


async def _asked(check: Callable[[Cloud], Awaitable[Found]] | None, command: str, run: Run) -> Found:
    """The check where credentials were given and the API has an answer, else open with the command."""
    google = run.wanted.google
    if check is None or google is None:
        return left_open(f"from outside it does not show: {_filled(command, google)}")
    try:
        async with cloud(google) as asked:
            return await check(asked)
    except CannotAsk as error:
        return left_open(f"{error}; by hand: {_filled(command, google)}")


def _filled(command: str, google: Google | None) -> str:
    """The command, with what is known in place of the names."""
    if google is None:
        return command
    known = {"PROJECT": google.project, "REGION": google.region, "SERVICE": google.service, "DATABASE": google.database}
    for name, value in known.items():
        command = command.replace(name, value)
    return command


SECTION: Final = Section(
    "Cloud",
    (
        _row(
            "cloud-logs",
            "Logs appear in Cloud Logging",
            logs_arrive,
            "`gcloud logging read 'resource.labels.service_name=SERVICE' --limit=1`",
        ),
        _row(
            "cloud-metrics",
            "Metrics collected in Cloud Monitoring",
            metrics_arrive,
            '`curl -sH "Authorization: Bearer $(gcloud auth print-access-token)"'
            f" '{MONITORING}/v1/projects/PROJECT/location/global/prometheus/api/v1/query?query=count(tai_build_info)'`",
        ),
        _row(
            "cloud-traces",
            "Traces visible in Cloud Trace",
            None,
            "the console's Trace explorer, by the trace id of the line traces; `gcloud` lists no traces",
        ),
        _row("cloud-alerts", "Alert policies configured", alerts_are_on, "`gcloud alpha monitoring policies list`"),
        _row(
            "cloud-dashboard",
            "Cloud Monitoring dashboard created",
            a_dashboard_is_there,
            "`gcloud monitoring dashboards list`",
        ),
        _row(
            "cloud-service",
            "Minimum and maximum instances, timeout and service account set",
            service_is_configured,
            "`gcloud run services describe SERVICE --region=REGION`",
        ),
        _row(
            "cloud-scaling",
            "Auto-scaling triggered and working",
            None,
            "the metric run.googleapis.com/container/instance_count during a load that needs more than one instance",
        ),
        _row(
            "cloud-revisions",
            "Previous version to go back to",
            a_revision_to_go_back_to,
            "`gcloud run revisions list --service=SERVICE --region=REGION`",
        ),
        _row(
            "cloud-backups",
            "Firestore backups enabled, daily, kept 30 days",
            backups_are_made,
            "`gcloud firestore backups schedules list --database='DATABASE'`",
        ),
    ),
)
