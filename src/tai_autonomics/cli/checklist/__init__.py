"""`checklist`: the production checklist, carried out against a running service, or against its metrics of weeks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tai_autonomics.cli.loop import complete
from tai_autonomics.cli.options import Quiet
from tai_autonomics.cli.output import Output, columns
from tai_autonomics.cli.statuses import ExitStatus, epilog
from tai_autonomics.cli.token import seconds_of
from tai_autonomics.cli.tree import group

if TYPE_CHECKING:
    from tai_autonomics.cli.checklist.report import Report
    from tai_autonomics.cli.checklist.run import Google, Wanted

TOKEN_BYTES_MAX: Final = 16 * 1024
GOOGLE: Final = ("--google-project", "--google-region", "--google-service", "--google-token-file")

app = group()


@app.command(
    epilog=epilog(
        "checklist http://127.0.0.1:8080 --token-file data/admin.token",
        "checklist --since 30d --prometheus http://127.0.0.1:9090",
    )
)
def checklist(
    url: Annotated[
        str | None,
        typer.Argument(metavar="[URL]", help="The running service, http(s)://host:port.", show_default=False),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option("--token", metavar="TOKEN", help="A token; others on this machine may see it: prefer a file."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="A token for all tenants: admin, or integration and operator. With --since, the one for --prometheus.",
        ),
    ] = None,
    tenant_token_file: Annotated[
        Path | None,
        typer.Option(
            "--tenant-token-file", metavar="FILE", help="A viewer's token for one tenant: what does it not reach?"
        ),
    ] = None,
    load: Annotated[
        int,
        typer.Option(
            "--load",
            metavar="TIME",
            parser=seconds_of,
            show_default=False,
            help="Load it for so long: 60s, at most 15m.",
        ),
    ] = "0",  # type: ignore[assignment]  # typer parses a default as it parses what is typed
    rate: Annotated[
        int, typer.Option("--rate", metavar="N", help="Requests a second of the load, at most 1000.")
    ] = 120,
    network_ms: Annotated[
        float | None,
        typer.Option(
            "--network-ms",
            metavar="N",
            min=0,
            help="The network's share of an answer; without it, a service far away is judged by its metrics.",
        ),
    ] = None,
    plan: Annotated[
        str | None, typer.Option("--plan", metavar="NAME", help="The plan to grant; else one is chosen.")
    ] = None,
    deployed_by: Annotated[
        str | None, typer.Option("--deployed-by", metavar="NAME", help="Who deployed, for the sign-off.")
    ] = None,
    google_project: Annotated[
        str | None, typer.Option("--google-project", metavar="ID", help="Ask Google's APIs too.")
    ] = None,
    google_region: Annotated[
        str | None, typer.Option("--google-region", metavar="REGION", help="Of the service.")
    ] = None,
    google_service: Annotated[
        str, typer.Option("--google-service", metavar="NAME", help="Of Cloud Run.")
    ] = "tai-autonomics",
    google_database: Annotated[
        str, typer.Option("--google-database", metavar="ID", help="Of Firestore.")
    ] = "(default)",
    google_token_file: Annotated[
        Path | None,
        typer.Option("--google-token-file", metavar="FILE", help="What `gcloud auth print-access-token` printed."),
    ] = None,
    since: Annotated[
        int,
        typer.Option(
            "--since",
            metavar="TIME",
            parser=seconds_of,
            show_default=False,
            help="Judge the metrics of so long instead: 30d.",
        ),
    ] = "0",  # type: ignore[assignment]
    prometheus: Annotated[
        str | None,
        typer.Option("--prometheus", metavar="URL", help="With --since: who has the metrics (its HTTP API)."),
    ] = None,
    matching: Annotated[
        str, typer.Option("--matching", metavar="LABELS", help='With --since: which series, such as job="tai".')
    ] = "",
    planned_restarts: Annotated[
        int,
        typer.Option(
            "--planned-restarts", metavar="N", min=0, help="With --since: restarts of one version that were meant."
        ),
    ] = 0,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Write the sign-off there; - is standard output.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write it as JSON there; - is standard output.")
    ] = None,
    quiet: Quiet = False,
) -> int:
    """
    Carry out the production checklist against a running service.

    Each line of the sign-off is evidence, failed, open or not applicable, and says why; 1 where one failed. It makes
    tenants of its own, checklist-…, and touches no other; their receipts stay. With --since 30d it judges restarts,
    errors, SLOs, memory and load distribution from the metrics that a Prometheus has of the service.
    """
    if since or prometheus is not None:
        if not since or prometheus is None or url is not None:
            raise typer.BadParameter("--since TIME and --prometheus URL go together, without the service's URL")
        from tai_autonomics.cli.checklist import since as judging_metrics

        asked = judging_metrics.Asked(
            url=prometheus,
            seconds=since,
            matching=matching,
            planned_restarts=planned_restarts,
            token=None if token is None and token_file is None else _token(token, token_file),
        )
        report = complete(judging_metrics.judged(asked))
    else:
        if url is None:
            raise typer.BadParameter("give the service's URL, or --since and --prometheus")
        _bounded(load, rate)
        from tai_autonomics.cli.checklist.run import Wanted

        wanted = Wanted(
            url=url.rstrip("/"),
            load_seconds=load,
            rate=rate,
            network_seconds=None if network_ms is None else network_ms / 1000,
            plan=plan,
            tenant_token=None if tenant_token_file is None else _token(None, tenant_token_file),
            deployed_by=deployed_by,
            google=_google(google_project, google_region, google_service, google_database, google_token_file),
        )
        report = complete(carried_out(wanted, _token(token, token_file), shown=not quiet))
    return _tell(report, markdown=markdown, json=json, quiet=quiet)


def _tell(report: "Report", *, markdown: Path | None, json: Path | None, quiet: bool) -> int:
    from tai_autonomics.cli.checklist.report import STDOUT, as_json, as_markdown, summary_of, write

    for place, content in ((markdown, as_markdown(report).encode()), (json, as_json(report))):
        if place is not None:
            write(place, content)
    to_stdout = STDOUT in (str(markdown), str(json))
    rows = [(line.outcome, line.id, line.detail) for line in report.lines]
    Output(quiet=quiet or to_stdout).show(None, *columns(rows), summary_of(report), *report.left_behind)
    return ExitStatus.WRONG if report.failed else ExitStatus.YES


def _token(token: str | None, file: Path | None) -> str:
    """Raises BadParameter, OSError."""
    if (token is None) == (file is None):
        raise typer.BadParameter("give --token-file, or --token")
    if file is not None:
        with file.open("rb") as opened:
            token = opened.read(TOKEN_BYTES_MAX).decode("ascii", "replace").strip()
    assert token is not None, "one of them was given"
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise typer.BadParameter("that is not a token" if file is None else f"{file} does not hold a token")
    return token


def _bounded(load: int, rate: int) -> None:
    from tai_autonomics.cli.checklist.load import RATE_MAX, REQUESTS_MAX, SECONDS_MAX

    if load > SECONDS_MAX:
        raise typer.BadParameter(f"--load is at most {SECONDS_MAX} s")
    if not 1 <= rate <= RATE_MAX:
        raise typer.BadParameter(f"--rate is from 1 to {RATE_MAX}")
    if load * rate > REQUESTS_MAX:
        raise typer.BadParameter(f"--load and --rate are {load * rate:,} requests, at most {REQUESTS_MAX:,}")


def _google(project: str | None, region: str | None, service: str, database: str, file: Path | None) -> "Google | None":
    from tai_autonomics.cli.checklist.run import Google

    if project is None and region is None and file is None:
        return None
    if project is None or region is None or file is None:
        raise typer.BadParameter("--google-project, --google-region and --google-token-file go together")
    return Google(project, region, service, database, _token(None, file))


async def carried_out(wanted: "Wanted", token: str, *, shown: bool) -> "Report":
    """Raises BadParameter where the options cannot serve."""
    from tai_autonomics import wiring
    from tai_autonomics.cli.checklist.asking import asking
    from tai_autonomics.cli.checklist.judging import judge, silent
    from tai_autonomics.cli.checklist.report import report_of
    from tai_autonomics.cli.checklist.run import Run
    from tai_autonomics.cli.checklist.sections import SECTIONS
    from tai_autonomics.cli.progress import progress
    from tai_autonomics.errors import StoreUnavailable

    clock, chance = wiring.SystemClock(), wiring.SystemEntropy().bytes(28)
    total = sum(len(section.rows) for section in SECTIONS)
    async with asking(wanted.url, token) as ask:
        run = Run(ask, wanted, now=clock.now(), chance=chance)
        lines, left = [], []
        try:
            await run.prepare()
        except StoreUnavailable as error:
            lines = silent(SECTIONS, str(error))
        else:
            with progress("checklist", total=total, unit="lines", shown=shown) as tell:
                try:
                    lines = await judge(SECTIONS, run, tell)
                finally:
                    left = await run.leave()
    about: dict[str, Any] = {"service": wanted.url, "version": run.version, "tenants": run.tenants}
    title = f"Sign-off of {wanted.url}"
    return report_of(title, about, lines, began_at=run.began_at, ended_at=clock.now(), left_behind=left)
