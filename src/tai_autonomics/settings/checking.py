"""Is each value right by itself, and do they agree?"""

import ipaddress
from collections.abc import Mapping
from typing import Final

from tai_autonomics.settings.forms import Setting
from tai_autonomics.settings.reading import Found
from tai_autonomics.settings.signing import WebhookSecrets, WebhookTenants
from tai_autonomics.settings.stores import FIRESTORE, IN_MEMORY, STORE, firestore_named
from tai_autonomics.settings.table import TABLE

QUOTED_CHARACTERS_MAX: Final = 100


def parse(found: Mapping[str, Found]) -> tuple[dict[str, object], list[str]]:
    values: dict[str, object] = {}
    problems: list[str] = []
    for field, setting in TABLE.items():
        one = found[field]
        if one.problem:
            problems.append(f"{setting.name}: {one.problem}")
        elif one.text is None:
            values[field] = None
        else:
            text = (
                one.text.replace("{TAI_DATA_DIR}", str(values.get("data_dir"))) if one.source == "default" else one.text
            )
            try:
                values[field] = understood(text, setting)
            except ValueError as error:
                problems.append(f"{setting.name}: {error}")
    return values, problems


def understood(text: str, setting: Setting) -> object:
    """The value. Raises ValueError with the problem and the allowed form."""
    try:
        return setting.form.parse(text)
    except ValueError as error:
        raise ValueError(f"{_quoted(text, setting)} {error}; allowed: {setting.form.allowed}") from None


def _quoted(text: str, setting: Setting) -> str:
    """What was pasted into the wrong place must not reach a log: a key is long, or JSON, or PEM; a URL has a user."""
    pasted = len(text) > QUOTED_CHARACTERS_MAX or any(mark in text for mark in ("{", "BEGIN", "@", "whsec_"))
    return "the value" if setting.secret or pasted else repr(text)


def disagreements(values: Mapping[str, object], found: Mapping[str, Found], *, dev: bool) -> list[str]:
    """What is wrong between two variables, each of which is right by itself."""
    problems = []
    given = [TABLE[field].name for field in ("jwt_keys", "jwt_jwks_url") if values.get(field) is not None]
    if len(given) > 1:
        problems.append("JWT_JWKS_URL: is set beside JWT_KEYS; keys come from one place: set one of them")
    elif given:
        problems += [
            f"{TABLE[field].name}: is not set; required with {given[0]}"
            for field in ("jwt_issuer", "jwt_audience")
            if found[field].source == "default"
        ]
    match values:
        case {"jwt_jwks_keep_seconds": float(keep), "jwt_jwks_refresh_seconds": float(refresh)} if keep < refresh:
            problems.append(f"JWT_JWKS_KEEP_SECONDS: {keep:g} is less than JWT_JWKS_REFRESH_SECONDS, {refresh:g}")
    match values:
        case {"lane_waiting_max": int(lane), "waiting_max": int(instance)} if lane > instance:
            problems.append(f"TAI_LANE_WAITING_MAX: {lane} is more than TAI_WAITING_MAX, {instance}")
    if dev and "host" in values and not _is_loopback(str(values["host"])):
        problems.append(f"HOST: {str(values['host'])!r} is not loopback, where --dev stays; allowed: 127.0.0.1 or ::1")
    problems += _firestore_disagreements(values)
    problems += _sender_disagreements(values)
    if not dev and values.get("store_url") == IN_MEMORY:
        problems.append(f"STORE_URL: the value forgets everything at a restart; allowed: {STORE.allowed}")
    return problems


def missing_to_serve(values: Mapping[str, object], found: Mapping[str, Found], *, on_cloud_run: bool) -> list[str]:
    """On Cloud Run (which sets K_SERVICE) a disk is memory; instances of a shared store verify by the same keys."""
    url = values.get("store_url")
    if not isinstance(url, str):
        return []
    if url.startswith("sqlite://"):
        lost = (
            "STORE_URL: an embedded store is lost with its instance on Cloud Run (K_SERVICE is set);"
            " allowed here: the URL of a shared store, postgresql://… or firestore://project/database"
        )
        return [lost] if on_cloud_run else []
    if any(found[field].text is not None for field in ("jwt_keys", "jwt_jwks_url")):
        return []
    return [
        "JWT_KEYS or JWT_JWKS_URL: neither is set; on a shared store every instance verifies tokens by the same keys",
        *(
            f"{TABLE[field].name}: is not set; required with the keys"
            for field in ("jwt_issuer", "jwt_audience")
            if found[field].source == "default"
        ),
    ]


def _firestore_disagreements(values: Mapping[str, object]) -> list[str]:
    url = values.get("store_url")
    if not isinstance(url, str) or not url.startswith(FIRESTORE):
        return []
    project, database = firestore_named(url)
    named = (("gcp_project_id", "project", project), ("firestore_database", "database", database))
    problems = [
        f"{TABLE[field].name}: {values[field]!r} is not the {what} that STORE_URL names; keep one of them"
        for field, what, in_url in named
        if in_url is not None and values.get(field) not in (None, in_url)
    ]
    if project is None and values.get("gcp_project_id", "") is None:
        problems.append(
            f"STORE_URL: the value names no project, and GCP_PROJECT_ID is not set; allowed: {STORE.allowed}"
        )
    return problems


def _sender_disagreements(values: Mapping[str, object]) -> list[str]:
    secrets, tenants = values.get("marketplace_webhook_secrets"), values.get("marketplace_webhook_tenants")
    unknown: tuple[str, ...] = ()
    if isinstance(tenants, WebhookTenants):
        unknown = tenants.without_secret(secrets if isinstance(secrets, WebhookSecrets) else None)
    problems = [
        f"MARKETPLACE_WEBHOOK_TENANTS: {source!r} has no secret in MARKETPLACE_WEBHOOK_SECRETS" for source in unknown
    ]
    match values:
        case {"pubsub_push_audience": str(), "pubsub_push_service_account": None}:
            problems.append("PUBSUB_PUSH_SERVICE_ACCOUNT: is not set; required with PUBSUB_PUSH_AUDIENCE")
        case {"pubsub_push_audience": None, "pubsub_push_service_account": str()}:
            problems.append("PUBSUB_PUSH_AUDIENCE: is not set; required with PUBSUB_PUSH_SERVICE_ACCOUNT")
        case _:
            pass
    return problems


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
