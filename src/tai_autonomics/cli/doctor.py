"""`doctor`: would a start succeed here, and is what is stored sound? Changes nothing."""

import os
import platform
import socket
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from tai_autonomics.cli.loop import complete
from tai_autonomics.cli.options import AsJson, DataDir, Dev, Quiet, StoreUrl, load_settings
from tai_autonomics.cli.output import Output, columns, fail
from tai_autonomics.cli.statuses import ExitStatus, epilog, status_of
from tai_autonomics.cli.tree import group
from tai_autonomics.errors import InvalidPlans, InvalidSetting, TaiError

if TYPE_CHECKING:
    from tai_autonomics.application.ports import Store
    from tai_autonomics.settings import Loaded, Settings
    from tai_autonomics.stores.postgres import Durability

PYTHON_NEEDED: Final = (3, 11)
PROBE_SECONDS_MAX: Final = 2.0
SEVERITY: Final = (
    ExitStatus.CONFIGURATION,
    ExitStatus.STORE_UNAVAILABLE,
    ExitStatus.WRONG,
    ExitStatus.UNCLEAR,
    ExitStatus.YES,
)
"""Of several findings, the first of these that there is ends the command."""

app = group()


class Finding(Struct, frozen=True):
    """What one check found. YES is good; any other status is what the command ends with for it."""

    check: str
    status: ExitStatus
    detail: str

    @property
    def answer(self) -> str:
        return {ExitStatus.YES: "yes", ExitStatus.UNCLEAR: "?"}.get(self.status, "no")


@app.command(epilog=epilog("doctor", "doctor --store postgresql://tai@db/tai"))
def doctor(
    store: StoreUrl = None, data_dir: DataDir = None, dev: Dev = False, as_json: AsJson = False, quiet: Quiet = False
) -> int:
    """
    Say whether a start would succeed and what is stored is sound.

    Checks configuration, versions, directory, keys, plans, store, clock and port; says yes, no or ?, and why.
    """
    findings = [python_is_new_enough()]
    try:
        loaded = load_settings(store=store, data_dir=data_dir, dev=dev, serving=True)
    except InvalidSetting as error:
        findings += [Finding("configuration", ExitStatus.CONFIGURATION, line) for line in str(error).splitlines()]
    else:
        findings += [configuration_is_read(loaded), *_checks_of(loaded.settings)]
    status = next(each for each in SEVERITY if each in {finding.status for finding in findings})
    documents = [{"check": each.check, "answer": each.answer, "detail": each.detail} for each in findings]
    Output(json=as_json, quiet=quiet).show(
        {"status": int(status), "checks": documents},
        *columns([(each.answer, each.check, each.detail) for each in findings]),
    )
    if quiet:
        for each in findings:
            if each.status is not ExitStatus.YES:
                fail(f"{each.check}: {each.detail}")
    return status


def _checks_of(settings: "Settings") -> Iterator[Finding]:
    yield optional(settings)
    yield data_directory_is_usable(settings.data_dir)
    yield _attempt("keys", lambda: keys_load(settings))
    if settings.pubsub_push_audience is not None:
        yield _attempt("push keys", lambda: push_keys_are_published(settings))
    yield _attempt("plans", lambda: plans_are_valid(settings))
    yield from _store_findings(settings)
    answering = _is_answering(settings.host, settings.port)
    yield port_is_free("port", settings.host, settings.port, setting="PORT", answering=answering)
    if settings.metrics_address is not None:
        metrics = settings.metrics_address
        yield port_is_free("metrics port", *metrics, setting="TAI_METRICS_ADDRESS", answering=answering)


def _store_findings(settings: "Settings") -> Iterator[Finding]:
    from tai_autonomics.settings import FIRESTORE, POSTGRESQL

    place = Path(settings.store_url.removeprefix("sqlite:///"))
    if settings.store_url.startswith(POSTGRESQL):
        yield from complete(_store_checks(settings, "PostgreSQL"))
    elif settings.store_url.startswith(FIRESTORE):
        yield from complete(_store_checks(settings, "Firestore"))
    elif place.exists():
        yield from complete(_store_checks(settings, str(place)))
    else:
        yield Finding("store", ExitStatus.YES, f"{place} is not there yet; the first start makes it")


def _attempt(check: str, work: Callable[[], str]) -> Finding:
    """The detail that `work` gives, or the error that it raises."""
    try:
        return Finding(check, ExitStatus.YES, work())
    except InvalidPlans as error:
        return Finding(check, ExitStatus.CONFIGURATION, "; ".join(error.problems))
    except TaiError as error:
        return Finding(check, status_of(error), str(error))


def python_is_new_enough() -> Finding:
    good = sys.version_info >= PYTHON_NEEDED
    status = ExitStatus.YES if good else ExitStatus.CONFIGURATION
    return Finding("python", status, f"{platform.python_version()}, at least 3.11 is needed")


def configuration_is_read(loaded: "Loaded") -> Finding:
    if loaded.warnings:
        return Finding("configuration", ExitStatus.UNCLEAR, "; ".join(loaded.warnings))
    given = [name for name, source in loaded.sources.items() if source not in ("default", "dev default")]
    return Finding("configuration", ExitStatus.YES, f"set: {', '.join(given)}" if given else "defaults alone")


def optional(settings: "Settings") -> Finding:
    """What is on and what is off; both are well."""
    from tai_autonomics.settings import features, switched_off

    on = ", ".join(each.name for each in features(settings) if each.on) or "nothing"
    return Finding("optional", ExitStatus.YES, f"on: {on}; off: {switched_off(settings) or 'nothing'}")


def data_directory_is_usable(directory: Path) -> Finding:
    """Ours to write, and nobody else's: who can replace its files can replace our key."""
    place = next(each for each in (directory.absolute(), *directory.absolute().parents) if each.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return Finding("data directory", ExitStatus.CONFIGURATION, f"{place} is not a directory that can be written")
    if place != directory.absolute():
        return Finding("data directory", ExitStatus.YES, f"{directory} is not there yet; the first start makes it")
    if directory.stat().st_mode & 0o022:
        mode = f"{directory.stat().st_mode & 0o777:o}"
        return Finding("data directory", ExitStatus.WRONG, f"{directory} can be written by others (mode {mode})")
    from tai_autonomics.identity.keys import TOKEN_FILE

    token = directory / TOKEN_FILE
    if token.exists() and token.stat().st_mode & 0o077:
        mode = f"{token.stat().st_mode & 0o777:o}"
        return Finding("data directory", ExitStatus.WRONG, f"{token} can be read by others (mode {mode}): chmod 600")
    return Finding("data directory", ExitStatus.YES, f"{directory} can be written by us alone")


def keys_load(settings: "Settings") -> str:
    from tai_autonomics import wiring
    from tai_autonomics.identity.keys import KEY_FILE

    own = settings.data_dir / KEY_FILE
    if settings.jwt_keys is None and settings.jwt_jwks_url is None and not own.exists():
        return f"{own} is not there yet; the first start makes it"
    keys = wiring.keys(settings)
    if keys is None:
        return f"{settings.jwt_jwks_url}: {', '.join(complete(wiring.provided_kids(settings)))}"
    return f"{settings.jwt_keys or own}: {', '.join(keys.public)}"


def push_keys_are_published(settings: "Settings") -> str:
    from tai_autonomics import wiring

    return f"{settings.pubsub_push_certs_url}: {', '.join(complete(wiring.push_kids(settings)))}"


def plans_are_valid(settings: "Settings") -> str:
    from tai_autonomics import wiring
    from tai_autonomics.policy.file import load

    name, text = wiring.plans(settings)
    return f"{name}: {', '.join(load(text, name=name).plans)}"


async def _store_checks(settings: "Settings", place: str) -> list[Finding]:
    """What the store says; no more is asked after the first no."""
    from tai_autonomics.cli.stored import open_store

    findings = []
    try:
        async with open_store(settings) as store:
            findings.append(Finding("store", ExitStatus.YES, f"{place} opens"))
            findings += await _soundness(store)
            findings.append(clock_is_plausible(await store.newest_time(), settings.clock_skew_seconds_max))
    except TaiError as error:
        findings.append(Finding("store", status_of(error), str(error)))
    return findings


async def _soundness(store: "Store") -> list[Finding]:
    """Nothing of Firestore: Google keeps it, and says no more of it."""
    from tai_autonomics.stores.sqlite import SQLiteStore

    if isinstance(store, SQLiteStore):
        return [_integrity(await store.problems())]
    from tai_autonomics.stores.postgres import PostgresStore

    return [durability(await store.durability())] if isinstance(store, PostgresStore) else []


def durability(found: "Durability") -> Finding:
    """What an acknowledged receipt survives."""
    match found.flushes, found.names_standbys, found.standbys:
        case False, _, _:
            detail = "fsync or full_page_writes is off: a crash of the server's machine takes acknowledged receipts"
            return Finding("durability", ExitStatus.WRONG, detail)
        case _, False, _:
            detail = "no synchronous standby: acknowledged receipts survive a crash of the server, and not its loss"
            return Finding("durability", ExitStatus.YES, detail)
        case _, _, 0:
            detail = "synchronous_standby_names is set and no such standby is seen: commits may wait for ever"
            return Finding("durability", ExitStatus.UNCLEAR, detail)
        case _, _, standbys:
            detail = f"synchronous standbys: {standbys}; acknowledged receipts survive the loss of the server"
            return Finding("durability", ExitStatus.YES, detail)


def _integrity(problems: tuple[str, ...]) -> Finding:
    if problems:
        return Finding("integrity", ExitStatus.WRONG, "; ".join(problems))
    return Finding("integrity", ExitStatus.YES, "SQLite's full check finds the file sound")


def clock_is_plausible(newest: str | None, skew_seconds_max: float) -> Finding:
    """Not behind what was already sealed: with such a clock nothing is."""
    from tai_autonomics import wiring
    from tai_autonomics.domain.moments import moment_of

    now = wiring.SystemClock().now()
    if newest is None:
        return Finding("clock", ExitStatus.YES, f"{moment_of(now)}; nothing is sealed yet")
    if moment_of(now + timedelta(seconds=skew_seconds_max)) < newest:
        detail = f"{moment_of(now)} is behind the newest receipt, {newest}: nothing would be sealed"
        return Finding("clock", ExitStatus.WRONG, detail)
    return Finding("clock", ExitStatus.YES, f"{moment_of(now)}; the newest receipt is of {newest}")


def port_is_free(check: str, host: str, port: int, *, setting: str, answering: bool) -> Finding:
    """Free, or held by the service itself."""
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trying:
            trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trying.bind(address)
    except OSError as error:
        if answering:
            return Finding(check, ExitStatus.YES, f"{place} is held by a running service")
        detail = f"{place} cannot be had: {error.strerror or error}; choose another by {setting}"
        return Finding(check, ExitStatus.WRONG, detail)
    return Finding(check, ExitStatus.YES, f"{place} is free")


def _is_answering(host: str, port: int) -> bool:
    """Whether a service of ours is there already; an address that means every one is asked at loopback."""
    # Nothing is bound here: the address is only recognised.
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # nosec B104
    connection = HTTPConnection(loopback.get(host, host), port, timeout=PROBE_SECONDS_MAX)
    try:
        connection.request("GET", "/health/live")
        return msgspec.json.decode(connection.getresponse().read(1024), type=dict[str, str]) == {"status": "ok"}
    except (OSError, HTTPException, msgspec.DecodeError):
        return False
    finally:
        connection.close()
