"""
Every environment variable that this program reads: typed, with its unit, its default and its bound.

A value is looked for in this order; an empty one is unset, and the first that is set wins:

    command line > environment > NAME_FILE (secrets alone) > .env (dev alone) > dev default > default
"""

import base64
import difflib
import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Final, NamedTuple, get_type_hints

from msgspec import Struct

from tai_autonomics.errors import InvalidSetting

OUR_PREFIX: Final = "TAI_"
FILE_BYTES_MAX: Final = 64 * 1024
"""A `.env` or a NAME_FILE that is larger is not what somebody meant."""


QUOTED_CHARACTERS_MAX: Final = 100


class Form(Struct, frozen=True):
    """What a value may look like. `parse` raises ValueError with what is wrong, without naming the value."""

    allowed: str
    parse: Callable[[str], object]


class Setting(Struct, frozen=True):
    """One environment variable. A secret is never quoted in an error, is shown masked, and may come from NAME_FILE."""

    name: str
    form: Form
    default: str | None
    doc: str
    dev_default: str | None = None
    secret: bool = False


class SigningSecrets(Struct, frozen=True):
    """Secrets that sign outgoing webhooks, by the receiver's host; "*" is every other host."""

    receivers: dict[str, tuple[bytes, ...]]

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        """Which receivers have how many, and none of the secrets."""
        return " ".join(f"{host}=***" for host, secrets in self.receivers.items() for _ in secrets)


class Networks(Struct, frozen=True):
    """Networks of addresses."""

    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

    def __str__(self) -> str:
        return ",".join(map(str, self.networks))


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int


def _whole(minimum: int, maximum: int, unit: str) -> Form:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,15}", text):
            raise ValueError("is not a whole number")
        if not minimum <= int(text) <= maximum:
            raise ValueError("is out of bounds")
        return int(text)

    return Form(f"{unit}, a whole number from {minimum} to {maximum}", parse)


def _seconds(minimum: float, maximum: float) -> Form:
    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text):
            raise ValueError("is not a number")
        if not minimum <= float(text) <= maximum:
            raise ValueError("is out of bounds")
        return float(text)

    return Form(f"seconds, a number from {minimum:g} to {maximum:g}", parse)


def _one_of(*choices: str) -> Form:
    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError("is none of them")
        return text.lower()

    return Form(" or ".join(choices), parse)


def _text(pattern: str, allowed: str) -> Form:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError("has another form")
        return text

    return Form(allowed, parse)


def _parse_path(text: str) -> Path:
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        raise ValueError("is a URL; this release reads files only")
    if not text.isprintable() or text.startswith(("{", "-----BEGIN")):
        raise ValueError("is the content of a file; give its path")
    return Path(text)


def _parse_jwks_url(text: str) -> str:
    place, query = r"(?:/[\x21\x24-\x3e\x40-\x7e]*)?", r"(?:\?[\x21\x24-\x7e]*)?"
    if not re.fullmatch(rf"https://[A-Za-z0-9.-]+(?::[0-9]{{1,5}})?{place}{query}", text):
        raise ValueError("is no such URL")
    return text


def _parse_collection(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", text):
        raise ValueError("has another form")
    if text in FIRESTORE_COLLECTIONS:
        raise ValueError("is a collection of the store for something else")
    return text


def _parse_listening(text: str) -> Address | None:
    if text.lower() == "off":
        return None
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})", text)
    if found is None:
        raise ValueError("is not host:port")
    if int(found[3]) > 65535:
        raise ValueError("has a port above 65535")
    return Address(found[1] or found[2], int(found[3]))


def _parse_networks(text: str) -> Networks:
    return Networks(tuple(map(_parse_network, text.split(","))))


def _parse_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text.strip())
    except ValueError as error:
        raise ValueError("holds something that is no network") from error


SIGNING_SECRETS_MAX: Final = 4
"""Of one receiver: each makes one more signature of every webhook."""


def _parse_signing_secrets(text: str) -> SigningSecrets:
    receivers: dict[str, tuple[bytes, ...]] = {}
    for entry in text.split():
        host, _, secret = entry.partition("=")
        if not re.fullmatch(r"\*|[a-z0-9.-]{1,253}|[0-9a-f:.]{2,45}", host):
            raise ValueError("has an entry whose host is none (lower case, without a port)")
        receivers[host] = (*receivers.get(host, ()), _parse_whsec(secret))
    if any(len(secrets) > SIGNING_SECRETS_MAX for secrets in receivers.values()):
        raise ValueError(f"has more than {SIGNING_SECRETS_MAX} secrets for one host")
    return SigningSecrets(receivers)


def _parse_whsec(text: str) -> bytes:
    try:
        secret = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError as error:
        raise ValueError("has a secret that is not base64") from error
    if not text.startswith("whsec_") or not 24 <= len(secret) <= 64:
        raise ValueError("has a secret that is not whsec_ and the base64 of 24 to 64 bytes")
    return secret


def _parse_store(text: str) -> str:
    if text.startswith(FIRESTORE):
        _firestore_named(text)
        return text
    if text.startswith(POSTGRESQL):
        return _parse_postgresql(text)
    if not text.startswith("sqlite://"):
        raise ValueError("has an unknown scheme")
    if text != IN_MEMORY and not re.fullmatch(r"sqlite:///[^?#\0]+", text):
        raise ValueError("does not name a file")
    return text


_POSTGRESQL_URL: Final = re.compile(
    r"""postgres(ql)?:// ([^/?#@\s]*@)? (HOST(,HOST)*)? /[^/?#@\s]+ (\?OPTION(&OPTION)*)?""".replace(
        "HOST", r"(\[[0-9A-Fa-f:.]+\] | [A-Za-z0-9._-]+)(:[0-9]{1,5})?"
    ).replace("OPTION", r"[a-z_]+=[^&\#\s]*"),
    re.VERBOSE | re.ASCII,
)


def _parse_postgresql(text: str) -> str:
    """So narrow because a password in a wrong place would be quoted by the driver and shown by `config`."""
    if not _POSTGRESQL_URL.fullmatch(text):
        raise ValueError("does not name a database, or holds a character that a URL writes as %XX")
    return text


def _firestore_named(url: str) -> tuple[str | None, str | None]:
    """The project and the database that firestore://project/database names; either may be left out."""
    found = re.fullmatch(rf"firestore://({_PROJECT})?(?:/({_DATABASE})?)?", url)
    if found is None:
        raise ValueError("does not name a project and a database")
    return found[1], found[2]


_PROJECT: Final = r"(?:[a-z0-9.-]{1,64}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]"
_DATABASE: Final = r"\(default\)|[a-z][a-z0-9-]{2,61}[a-z0-9]"
FIRESTORE_COLLECTIONS: Final = frozenset(
    (
        "heads",
        "claims",
        "parts",
        "erased",
        "dropped",
        "snapshots",
        "bases",
        "due",
        "quarantine",
        "policies",
        "chunks",
        "meta",
    )
)
"""Those of the Firestore store beside its receipts."""
IN_MEMORY: Final = "sqlite://:memory:"
FIRESTORE: Final = "firestore://"
POSTGRESQL: Final = ("postgresql://", "postgres://")
_PATH: Final = Form("a path", _parse_path)
_HOST: Final = _text(r"[A-Za-z0-9.:-]{1,253}", "an address or a host name")
_NAME_OF_ISSUER: Final = _text(r"[\x21-\x7e]{1,255}", "1 to 255 printable ASCII characters without a space")
_CLAIM: Final = _text(
    r"[\x21-\x2e\x30-\x7e][\x21-\x7e]{0,254}|(?:/(?:[\x21-\x2e\x30-\x7d]|~[01])+){1,8}",
    "a claim's name, or a pointer (RFC 6901) of at most 8 names, each with a slash before it",
)
_STORE: Final = Form(
    "sqlite:///path (sqlite:////path from the root), postgresql://user:password@host:port/database?option=value"
    " or firestore://project/database",
    _parse_store,
)
_MEBIBYTE: Final = 1024 * 1024


class Settings(Struct, frozen=True, kw_only=True):
    """What is in force. The order of the fields is the order of the documents."""

    # A container is reached from outside of it, and no setting turns authentication off.
    host: Annotated[str, Setting("HOST", _HOST, "0.0.0.0", "Listens here.", dev_default="127.0.0.1")]  # noqa: S104  # nosec B104
    port: Annotated[int, Setting("PORT", _whole(0, 65535, "TCP port"), "8080", "Listens here; 0 takes a free port.")]
    environment: Annotated[
        str,
        Setting(
            "ENVIRONMENT",
            _text(r"[a-z][a-z0-9-]{0,31}", "1 to 32 of a-z, 0-9 and -"),
            "production",
            "Names this deployment in the metric `tai_build_info`.",
            dev_default="development",
        ),
    ]
    data_dir: Annotated[Path, Setting("TAI_DATA_DIR", _PATH, "data", "Holds the SQLite file, our own key, the token.")]
    backups_dir: Annotated[
        Path | None,
        Setting(
            "TAI_BACKUPS_DIR",
            _PATH,
            None,
            "Where backups are kept; unset: `backups` in `TAI_DATA_DIR`. Where it is set, each erasure goes onto the"
            " list there at once.",
        ),
    ]
    store_url: Annotated[
        str,
        Setting("STORE_URL", _STORE, "sqlite:///{TAI_DATA_DIR}/tai.db", "Where receipts rest.", secret=True),
    ]
    postgres_connections_max: Annotated[
        int,
        Setting(
            "TAI_POSTGRES_CONNECTIONS_MAX",
            _whole(2, 1_000, "connections"),
            "10",
            "What one instance opens to PostgreSQL at most; all instances together stay below its `max_connections`.",
        ),
    ]
    firestore_database: Annotated[
        str | None,
        Setting(
            "FIRESTORE_DATABASE",
            _text(_DATABASE, "the id of a Firestore database, or (default)"),
            None,
            "The database, where a Firestore `STORE_URL` leaves it out; unset: `(default)`.",
        ),
    ]
    firestore_collection: Annotated[
        str,
        Setting(
            "FIRESTORE_COLLECTION",
            Form("1 to 64 of A-Z, a-z, 0-9, _ and -, beginning with a letter", _parse_collection),
            "receipts",
            "The collection that receipts lie in; a database keeps the name that it was begun with.",
        ),
    ]
    firestore_emulator_host: Annotated[
        str | None,
        Setting(
            "FIRESTORE_EMULATOR_HOST",
            _text(r"[A-Za-z0-9.-]{1,253}:[0-9]{1,5}", "host:port"),
            None,
            "With a Firestore `STORE_URL`: the emulator at this address, in place of Google's.",
        ),
    ]
    plans_file: Annotated[
        Path | None,
        Setting(
            "PLANS_FILE", _PATH, None, "The plans and their rules (`docs/POLICIES.md`); unset: those of the package."
        ),
    ]
    jwt_keys: Annotated[
        Path | None,
        Setting("JWT_KEYS", _PATH, None, "JWKS or PEM file that verifies tokens; unset: a key made on first start."),
    ]
    jwt_jwks_url: Annotated[
        str | None,
        Setting(
            "JWT_JWKS_URL",
            Form("an https URL without user, password and fragment", _parse_jwks_url),
            None,
            "An identity provider's keys, in place of `JWT_KEYS`.",
        ),
    ]
    jwt_jwks_refresh_seconds: Annotated[
        float,
        Setting(
            "JWT_JWKS_REFRESH_SECONDS",
            _seconds(10, 86_400),
            "300",
            "How often its keys are fetched; a key that it takes away verifies no longer than that, and a minute.",
        ),
    ]
    jwt_jwks_keep_seconds: Annotated[
        float,
        Setting(
            "JWT_JWKS_KEEP_SECONDS",
            _seconds(60, 604_800),
            "3600",
            "While it does not answer, its keys are good for so long; then new tokens get 503 `keys_unavailable`.",
        ),
    ]
    jwt_issuer: Annotated[
        str, Setting("JWT_ISSUER", _NAME_OF_ISSUER, "tai-autonomics", "`iss` of a token; required with keys of yours.")
    ]
    jwt_audience: Annotated[
        str,
        Setting("JWT_AUDIENCE", _NAME_OF_ISSUER, "tai-autonomics", "`aud` of a token; required with keys of yours."),
    ]
    jwt_subject_claim: Annotated[str, Setting("JWT_SUBJECT_CLAIM", _CLAIM, "sub", "The claim that says who calls.")]
    jwt_roles_claim: Annotated[
        str,
        Setting("JWT_ROLES_CLAIM", _CLAIM, "roles", "The claim of the roles (`/realm_access/roles`: nested)."),
    ]
    jwt_tenants_claim: Annotated[
        str, Setting("JWT_TENANTS_CLAIM", _CLAIM, "tenants", "The claim of the tenants that a caller reaches.")
    ]
    jwt_leeway_seconds: Annotated[
        float, Setting("JWT_LEEWAY_SECONDS", _seconds(0, 300), "30", "How far an issuer's clock may be from ours.")
    ]
    token_seconds_max: Annotated[
        int,
        Setting(
            "TAI_TOKEN_SECONDS_MAX",
            _whole(60, 31_622_400, "seconds"),
            "86400",
            "A token whose `exp` is further from its `iat` is refused.",
        ),
    ]
    log_level: Annotated[
        str, Setting("LOG_LEVEL", _one_of("debug", "info", "warning", "error"), "info", "Lines below are not written.")
    ]
    log_format: Annotated[
        str,
        Setting(
            "LOG_FORMAT",
            _one_of("auto", "json", "console"),
            "auto",
            "`json` is for Cloud Logging; `auto` is `console` on a terminal, else `json`.",
            dev_default="console",
        ),
    ]
    gcp_project_id: Annotated[
        str | None,
        Setting(
            "GCP_PROJECT_ID",
            _text(_PROJECT, "a Google Cloud project id"),
            None,
            "Joins log lines with traces in Cloud Logging; the project, where a Firestore `STORE_URL` leaves it out;"
            " where the topics and services of bare names are.",
        ),
    ]
    gcp_region: Annotated[
        str | None,
        Setting(
            "TAI_GCP_REGION",
            _text(r"[a-z]+(-[a-z0-9]+)+", "a region of Google Cloud"),
            None,
            "Where the Cloud Run services of bare names are.",
        ),
    ]
    webhook_signing_secrets: Annotated[
        SigningSecrets | None,
        Setting(
            "TAI_WEBHOOK_SIGNING_SECRETS",
            Form(
                "host=whsec_… entries between spaces, * for every other host, several of one host while a secret is"
                " replaced",
                _parse_signing_secrets,
            ),
            None,
            "Signs the webhooks that actions send; unset: `webhook` is not available.",
            secret=True,
        ),
    ]
    webhook_addresses_allowed: Annotated[
        Networks | None,
        Setting(
            "TAI_WEBHOOK_ADDRESSES_ALLOWED",
            Form("networks such as 10.1.0.0/16 between commas", _parse_networks),
            None,
            "Addresses that webhooks may go to though they are not public, also by `http://`.",
            dev_default="127.0.0.0/8,::1/128",
        ),
    ]
    pubsub_emulator_host: Annotated[
        str | None,
        Setting(
            "PUBSUB_EMULATOR_HOST",
            _text(r"[A-Za-z0-9.-]{1,253}:[0-9]{1,5}", "host:port"),
            None,
            "`pubsub.publish` goes to the emulator at this address, in place of Google's.",
        ),
    ]
    metrics_address: Annotated[
        Address | None,
        Setting(
            "TAI_METRICS_ADDRESS",
            Form("host:port, or off", _parse_listening),
            "127.0.0.1:9464",
            "`GET /metrics` without a token, for a sidecar; port 0 takes a free one.",
        ),
    ]

    request_seconds_max: Annotated[
        float, Setting("TAI_REQUEST_SECONDS_MAX", _seconds(0.1, 300), "10", "The deadline of a request.")
    ]
    requests_at_once_max: Annotated[
        int,
        Setting("TAI_REQUESTS_AT_ONCE_MAX", _whole(1, 100_000, "requests"), "1000", "In flight; beyond it 429."),
    ]
    body_bytes_max: Annotated[
        int, Setting("TAI_BODY_BYTES_MAX", _whole(1024, 16 * _MEBIBYTE, "bytes"), "262144", "A body; beyond it 413.")
    ]
    push_body_bytes_max: Annotated[
        int,
        Setting(
            "TAI_PUSH_BODY_BYTES_MAX",
            _whole(1024, 64 * _MEBIBYTE, "bytes"),
            "14680064",
            "A body of `POST /pubsub`; a Pub/Sub message may be 10 MB before base64.",
        ),
    ]
    header_bytes_max: Annotated[
        int, Setting("TAI_HEADER_BYTES_MAX", _whole(1024, _MEBIBYTE, "bytes"), "16384", "All headers; beyond it 431.")
    ]
    tenant_rate_per_second: Annotated[
        int,
        Setting(
            "TAI_TENANT_RATE_PER_SECOND",
            _whole(1, 1_000_000, "requests a second"),
            "5000",
            "What one tenant may ask of one instance; beyond it 429 `rate_limited`.",
        ),
    ]
    new_ledgers_per_minute_max: Annotated[
        int,
        Setting(
            "TAI_NEW_LEDGERS_PER_MINUTE_MAX",
            _whole(1, 10_000_000, "ledgers a minute"),
            "10000",
            "What one caller may begin on one instance; beyond it 429 `rate_limited`.",
        ),
    ]
    quarantine_max: Annotated[
        int,
        Setting(
            "TAI_QUARANTINE_MAX",
            _whole(1, 10_000_000, "messages"),
            "10000",
            "Messages in quarantine; when it is full, `POST /pubsub` answers 503.",
        ),
    ]

    lanes_max: Annotated[
        int,
        Setting("TAI_LANES_MAX", _whole(1, 10_000_000, "tenants"), "100000", "Tenants whose state is kept in memory."),
    ]
    lane_waiting_max: Annotated[
        int,
        Setting(
            "TAI_LANE_WAITING_MAX",
            _whole(1, 1_000_000, "commands"),
            "1000",
            "Commands of one tenant that wait; beyond it 429 `rate_limited`.",
        ),
    ]
    waiting_max: Annotated[
        int,
        Setting(
            "TAI_WAITING_MAX",
            _whole(1, 1_000_000, "commands"),
            "10000",
            "Commands of all tenants that wait; beyond it 429 `overloaded`.",
        ),
    ]
    append_receipts_max: Annotated[
        int, Setting("TAI_APPEND_RECEIPTS_MAX", _whole(1, 100_000, "receipts"), "1000", "Receipts in one append.")
    ]
    append_bytes_max: Annotated[
        int,
        Setting("TAI_APPEND_BYTES_MAX", _whole(64 * 1024, 256 * _MEBIBYTE, "bytes"), "4194304", "Bytes in one append."),
    ]
    snapshot_receipts: Annotated[
        int,
        Setting(
            "TAI_SNAPSHOT_RECEIPTS",
            _whole(1, 1_000_000, "receipts"),
            "200",
            "A tenant's state is stored again after this many receipts.",
        ),
    ]
    snapshot_bytes: Annotated[
        int,
        Setting(
            "TAI_SNAPSHOT_BYTES",
            _whole(1024, 256 * _MEBIBYTE, "bytes"),
            "256000",
            "A tenant's state is stored again after this many bytes of receipts.",
        ),
    ]
    entitlements_max: Annotated[
        int,
        Setting(
            "TAI_ENTITLEMENTS_MAX",
            _whole(1, 10_000, "entitlements"),
            "1000",
            "Entitlements of one tenant; beyond it refused `too_many_entitlements`.",
        ),
    ]
    observed_ahead_seconds_max: Annotated[
        int,
        Setting(
            "TAI_OBSERVED_AHEAD_SECONDS_MAX",
            _whole(0, 86_400, "seconds"),
            "300",
            "An `observed_at` further ahead of our clock is refused `clock_skew`.",
        ),
    ]
    clock_skew_seconds_max: Annotated[
        float,
        Setting(
            "TAI_CLOCK_SKEW_SECONDS_MAX",
            _seconds(1, 3600),
            "60",
            "With our clock further off, nothing is sealed: 503 `clock_untrusted`.",
        ),
    ]
    state_age_seconds_max: Annotated[
        float,
        Setting(
            "TAI_STATE_AGE_SECONDS_MAX",
            _seconds(0, 3600),
            "1",
            "On a store that several instances write: a check from an older state asks the store first.",
        ),
    ]
    actions_in_hand_max: Annotated[
        int,
        Setting(
            "TAI_ACTIONS_IN_HAND_MAX",
            _whole(1, 100_000, "actions"),
            "1000",
            "Actions that one instance works on; what is over it waits in the store.",
        ),
    ]
    actions_at_once_max: Annotated[
        int, Setting("TAI_ACTIONS_AT_ONCE_MAX", _whole(1, 10_000, "actions"), "32", "Attempts that reach out at once.")
    ]
    actions_of_type_at_once_max: Annotated[
        int,
        Setting(
            "TAI_ACTIONS_OF_TYPE_AT_ONCE_MAX",
            _whole(1, 10_000, "actions"),
            "16",
            "Attempts of one type of action at once.",
        ),
    ]
    timer_poll_seconds: Annotated[
        float, Setting("TAI_TIMER_POLL_SECONDS", _seconds(0.05, 60), "1", "How often due timers are looked for.")
    ]
    drain_seconds_max: Annotated[
        float, Setting("TAI_DRAIN_SECONDS_MAX", _seconds(0, 300), "8", "How long a stopping process finishes its work.")
    ]

    @classmethod
    def load(
        cls,
        environ: Mapping[str, str],
        *,
        dev: bool = False,
        dotenv: Path | None = None,
        overrides: Mapping[str, str] | None = None,
        serving: bool = False,
    ) -> "Loaded":
        """
        The settings in force; `dotenv` is read in dev alone and need not exist, `overrides` are the command line's.

        `serving` asks for what a service needs besides: where others reach it, nothing is made up. Raises
        InvalidSetting that names every wrong variable, with its problem and the allowed form.
        """
        written = _read_dotenv(dotenv) if dev and dotenv is not None else {}
        layers = {"command line": overrides or {}, "environment": environ, ".env": written}
        found = {field: _find(setting, layers, dev=dev) for field, setting in TABLE.items()}
        values, problems = _parse(found)
        problems += _disagreements(values, found, dev=dev)
        if serving:
            problems += _missing_to_serve(values, found, on_cloud_run=bool(environ.get("K_SERVICE")))
        if problems:
            raise InvalidSetting("\n".join(problems))
        sources = {TABLE[field].name: one.source for field, one in found.items()}
        return Loaded(cls(**values), sources, _unread({*environ, *written}))  # type: ignore[arg-type]


TABLE: Final[dict[str, Setting]] = {
    field: hint.__metadata__[0] for field, hint in get_type_hints(Settings, include_extras=True).items()
}
"""Each field of Settings with the variable that fills it."""


class Loaded(Struct, frozen=True):
    """Settings, where each variable's value came from, and what an operator should hear of."""

    settings: Settings
    sources: dict[str, str]
    warnings: tuple[str, ...]


class Shown(Struct, frozen=True):
    """One line of `tai-autonomics config`; a secret is masked."""

    name: str
    value: str
    source: str


class _Found(Struct, frozen=True):
    """A value before it is understood; `problem` says why there is none."""

    text: str | None
    source: str
    problem: str = ""


def _find(setting: Setting, layers: Mapping[str, Mapping[str, str]], *, dev: bool) -> _Found:
    for source, layer in layers.items():
        text, file = layer.get(setting.name, ""), layer.get(f"{setting.name}_FILE", "") if setting.secret else ""
        if text and file:
            return _Found(None, source, f"is set, and so is {setting.name}_FILE: keep one of them")
        if text:
            return _Found(text, source)
        if file:
            return _read_secret(f"{setting.name}_FILE", Path(file))
    if dev and setting.dev_default is not None:
        return _Found(setting.dev_default, "dev default")
    return _Found(setting.default, "default")


def _read_secret(name: str, file: Path) -> _Found:
    try:
        text = _read_text(file).rstrip("\r\n")
    except (OSError, ValueError) as error:
        return _Found(None, name, f"cannot be read from {name}: {_why(error)}")
    return _Found(text, name) if text else _Found(None, name, f"cannot be read from {name}: the file is empty")


def _read_text(file: Path) -> str:
    with file.open("rb") as opened:
        content = opened.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise ValueError(f"it is larger than {FILE_BYTES_MAX} bytes")
    return content.decode("utf-8-sig")


def _why(error: OSError | ValueError) -> str:
    """What went wrong, without the bytes that a decoder would quote."""
    match error:
        case OSError():
            return error.strerror or type(error).__name__
        case UnicodeDecodeError():
            return "it is not UTF-8"
        case _:
            return str(error)


def _read_dotenv(file: Path) -> dict[str, str]:
    """Lines of NAME=value; blank lines, `# comments`, a leading `export` and one pair of quotes are understood."""
    try:
        lines = _read_text(file).splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InvalidSetting(f"{file}: {_why(error)}") from error
    written: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = re.fullmatch(r"""\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*("[^"]*"|'[^']*'|[^\s"'#]\S*|)\s*(#.*)?""", line)
        if found is None:
            raise InvalidSetting(f"{file}:{number}: is not NAME=value; quote a value that holds a space or a #")
        written[found[1]] = found[2][1:-1] if found[2][:1] in ("'", '"') else found[2]
    return written


def _parse(found: Mapping[str, _Found]) -> tuple[dict[str, object], list[str]]:
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
                values[field] = setting.form.parse(text)
            except ValueError as error:
                problems.append(f"{setting.name}: {_quoted(text, setting)} {error}; allowed: {setting.form.allowed}")
    return values, problems


def _quoted(text: str, setting: Setting) -> str:
    """A key pasted in place of its path is long, or JSON, or PEM: it must not reach a log."""
    pasted = len(text) > QUOTED_CHARACTERS_MAX or "{" in text or "BEGIN" in text
    return "the value" if setting.secret or pasted else repr(text)


def _disagreements(values: Mapping[str, object], found: Mapping[str, _Found], *, dev: bool) -> list[str]:
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
    if not dev and values.get("store_url") == IN_MEMORY:
        problems.append(f"STORE_URL: the value forgets everything at a restart; allowed: {_STORE.allowed}")
    return problems


def _missing_to_serve(values: Mapping[str, object], found: Mapping[str, _Found], *, on_cloud_run: bool) -> list[str]:
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
    project, database = _firestore_named(url)
    named = (("gcp_project_id", "project", project), ("firestore_database", "database", database))
    problems = [
        f"{TABLE[field].name}: {values[field]!r} is not the {what} that STORE_URL names; keep one of them"
        for field, what, in_url in named
        if in_url is not None and values.get(field) not in (None, in_url)
    ]
    if project is None and values.get("gcp_project_id", "") is None:
        problems.append(
            f"STORE_URL: the value names no project, and GCP_PROJECT_ID is not set; allowed: {_STORE.allowed}"
        )
    return problems


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unread(names: set[str]) -> tuple[str, ...]:
    """One warning for each variable with our prefix that nothing reads, in the order of the names."""
    known = [
        name for setting in TABLE.values() for name in (setting.name, f"{setting.name}_FILE")[: 1 + setting.secret]
    ]
    warnings = []
    for name in sorted(names):
        if name.startswith(OUR_PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            warnings.append(f"{name} is set and nothing reads it" + (f"; is {near[0]} meant?" if near else ""))
    return tuple(warnings)


def shown(loaded: Loaded) -> tuple[Shown, ...]:
    """What is in force and where it came from, in the order of the table."""
    return tuple(
        Shown(setting.name, _masked(getattr(loaded.settings, field), setting), loaded.sources[setting.name])
        for field, setting in TABLE.items()
    )


def _masked(value: object, setting: Setting) -> str:
    match value:
        case None:
            return "off" if setting.name == "TAI_METRICS_ADDRESS" else ""
        case Address(host, port):
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        case float():
            return f"{value:g}"
        case str() if setting.secret:
            return re.sub(r"([?&](?:ssl)?password=)[^&]*", r"\1***", re.sub(r"//[^/@]*@", "//***@", value))
        case _:
            return str(value)


def firestore_place(settings: Settings) -> tuple[str, str]:
    """The project and the database of a Firestore STORE_URL, with what it leaves out filled in."""
    project, database = _firestore_named(settings.store_url)
    project = project or settings.gcp_project_id
    assert project is not None, "load refuses a URL without a project where there is none"
    return project, database or settings.firestore_database or "(default)"
