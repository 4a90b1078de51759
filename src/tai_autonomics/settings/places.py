"""What is reached and where: the variables of a deployment."""

from pathlib import Path
from typing import Annotated, Final

from msgspec import Struct

from tai_autonomics.settings.forms import (
    Address,
    Form,
    Networks,
    Setting,
    matching,
    one_of,
    parse_jwks_url,
    parse_listening,
    parse_networks,
    parse_otlp_url,
    parse_path,
    seconds,
    share,
    whole,
)
from tai_autonomics.settings.signing import (
    SigningSecrets,
    WebhookSecrets,
    WebhookTenants,
    parse_signing_secrets,
    parse_webhook_secrets,
    parse_webhook_tenants,
)
from tai_autonomics.settings.stores import DATABASE, PROJECT, STORE, parse_collection

_PATH: Final = Form("a path", parse_path)
_HOST: Final = matching(r"[A-Za-z0-9.:-]{1,253}", "an address or a host name")
_NAME_OF_ISSUER: Final = matching(r"[\x21-\x7e]{1,255}", "1 to 255 printable ASCII characters without a space")
_CLAIM: Final = matching(
    r"[\x21-\x2e\x30-\x7e][\x21-\x7e]{0,254}|(?:/(?:[\x21-\x2e\x30-\x7d]|~[01])+){1,8}",
    "a claim's name, or a pointer (RFC 6901) of at most 8 names, each with a slash before it",
)


class Places(Struct, frozen=True, kw_only=True):
    """Where this deployment listens, keeps its data, finds its keys and reaches out to."""

    # A container is reached from outside of it, and no setting turns authentication off.
    host: Annotated[str, Setting("HOST", _HOST, "0.0.0.0", "Listens here.", dev_default="127.0.0.1")]  # noqa: S104  # nosec B104
    port: Annotated[int, Setting("PORT", whole(0, 65535, "TCP port"), "8080", "Listens here; 0 takes a free port.")]
    environment: Annotated[
        str,
        Setting(
            "ENVIRONMENT",
            matching(r"[a-z][a-z0-9-]{0,31}", "1 to 32 of a-z, 0-9 and -"),
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
        Setting("STORE_URL", STORE, "sqlite:///{TAI_DATA_DIR}/tai.db", "Where receipts rest.", secret=True),
    ]
    postgres_connections_max: Annotated[
        int,
        Setting(
            "TAI_POSTGRES_CONNECTIONS_MAX",
            whole(2, 1_000, "connections"),
            "10",
            "What one instance opens to PostgreSQL at most; all instances together stay below its `max_connections`.",
        ),
    ]
    firestore_database: Annotated[
        str | None,
        Setting(
            "FIRESTORE_DATABASE",
            matching(DATABASE, "the id of a Firestore database, or (default)"),
            None,
            "The database, where a Firestore `STORE_URL` leaves it out; unset: `(default)`.",
        ),
    ]
    firestore_collection: Annotated[
        str,
        Setting(
            "FIRESTORE_COLLECTION",
            Form("1 to 64 of A-Z, a-z, 0-9, _ and -, beginning with a letter", parse_collection),
            "receipts",
            "The collection that receipts lie in; a database keeps the name that it was begun with.",
        ),
    ]
    firestore_emulator_host: Annotated[
        str | None,
        Setting(
            "FIRESTORE_EMULATOR_HOST",
            matching(r"[A-Za-z0-9.-]{1,253}:[0-9]{1,5}", "host:port"),
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
            Form("an https URL without user, password and fragment", parse_jwks_url),
            None,
            "An identity provider's keys, in place of `JWT_KEYS`.",
        ),
    ]
    jwt_jwks_refresh_seconds: Annotated[
        float,
        Setting(
            "JWT_JWKS_REFRESH_SECONDS",
            seconds(10, 86_400),
            "300",
            "How often its keys are fetched; a key that it takes away verifies no longer than that, and a minute.",
        ),
    ]
    jwt_jwks_keep_seconds: Annotated[
        float,
        Setting(
            "JWT_JWKS_KEEP_SECONDS",
            seconds(60, 604_800),
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
        float, Setting("JWT_LEEWAY_SECONDS", seconds(0, 300), "30", "How far an issuer's clock may be from ours.")
    ]
    token_seconds_max: Annotated[
        int,
        Setting(
            "TAI_TOKEN_SECONDS_MAX",
            whole(60, 31_622_400, "seconds"),
            "86400",
            "A token whose `exp` is further from its `iat` is refused.",
        ),
    ]
    log_level: Annotated[
        str, Setting("LOG_LEVEL", one_of("debug", "info", "warning", "error"), "info", "Lines below are not written.")
    ]
    log_format: Annotated[
        str,
        Setting(
            "LOG_FORMAT",
            one_of("auto", "json", "console"),
            "auto",
            "`json` is for Cloud Logging; `auto` is `console` on a terminal, else `json`.",
            dev_default="console",
        ),
    ]
    otlp_endpoint: Annotated[
        str | None,
        Setting(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            Form("an http or https URL without user, password, query and fragment", parse_otlp_url),
            None,
            "Where spans go, by OTLP over HTTP (to `/v1/traces` there); unset: none are made.",
        ),
    ]
    trace_sample_ratio: Annotated[
        float,
        Setting(
            "TRACE_SAMPLE_RATIO",
            share(),
            "0.1",
            "The share of the traces that is recorded, where the caller has not decided it.",
        ),
    ]
    gcp_project_id: Annotated[
        str | None,
        Setting(
            "GCP_PROJECT_ID",
            matching(PROJECT, "a Google Cloud project id"),
            None,
            "Joins log lines with traces in Cloud Logging; the project, where a Firestore `STORE_URL` leaves it out;"
            " where the topics and services of bare names are.",
        ),
    ]
    gcp_region: Annotated[
        str | None,
        Setting(
            "TAI_GCP_REGION",
            matching(r"[a-z]+(-[a-z0-9]+)+", "a region of Google Cloud"),
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
                parse_signing_secrets,
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
            Form("networks such as 10.1.0.0/16 between commas", parse_networks),
            None,
            "Addresses that webhooks may go to though they are not public, also by `http://`.",
            dev_default="127.0.0.0/8,::1/128",
        ),
    ]
    pubsub_emulator_host: Annotated[
        str | None,
        Setting(
            "PUBSUB_EMULATOR_HOST",
            matching(r"[A-Za-z0-9.-]{1,253}:[0-9]{1,5}", "host:port"),
            None,
            "`pubsub.publish` goes to the emulator at this address, in place of Google's.",
        ),
    ]
    pubsub_push_audience: Annotated[
        str | None,
        Setting(
            "PUBSUB_PUSH_AUDIENCE",
            matching(r"[\x21-\x7e]{1,1024}", "1 to 1024 printable ASCII characters without a space"),
            None,
            "`aud` of Google's token on `POST /pubsub`: the push subscription's audience, or else its endpoint URL.",
        ),
    ]
    pubsub_push_service_account: Annotated[
        str | None,
        Setting(
            "PUBSUB_PUSH_SERVICE_ACCOUNT",
            matching(
                r"(?=.{1,128}$)[a-z0-9][a-z0-9.-]*@[a-z0-9][a-z0-9.-]*", "the e-mail address of a service account"
            ),
            None,
            "`email` of that token; set with `PUBSUB_PUSH_AUDIENCE`. Unset: tokens of Google's are 401 there too.",
        ),
    ]
    pubsub_push_certs_url: Annotated[
        str,
        Setting(
            "PUBSUB_PUSH_CERTS_URL",
            matching(
                r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?/[A-Za-z0-9._~/-]*",
                "an https URL without user, password, query and fragment",
            ),
            "https://www.googleapis.com/oauth2/v1/certs",
            "Where Google's certificates are, as JSON of PEM by kid.",
        ),
    ]
    marketplace_webhook_secrets: Annotated[
        WebhookSecrets | None,
        Setting(
            "MARKETPLACE_WEBHOOK_SECRETS",
            Form(
                "source=whsec_… entries between spaces, several of one source while a secret is replaced",
                parse_webhook_secrets,
            ),
            None,
            "Who may send signed webhooks to `POST /marketplace`; unset: nobody, tokens alone.",
            secret=True,
        ),
    ]
    marketplace_webhook_tenants: Annotated[
        WebhookTenants | None,
        Setting(
            "MARKETPLACE_WEBHOOK_TENANTS",
            Form("source=tenant,tenant entries between spaces", parse_webhook_tenants),
            None,
            "The tenants that a source of webhooks reaches; a source that is not named reaches all.",
        ),
    ]
    marketplace_webhook_tolerance_seconds: Annotated[
        int,
        Setting(
            "MARKETPLACE_WEBHOOK_TOLERANCE_SECONDS",
            whole(1, 86_400, "seconds"),
            "300",
            "A webhook whose `webhook-timestamp` is further from our clock, before or after, is refused 401.",
        ),
    ]
    metrics_address: Annotated[
        Address | None,
        Setting(
            "TAI_METRICS_ADDRESS",
            Form("host:port, or off", parse_listening),
            "127.0.0.1:9464",
            "`GET /metrics` without a token, for a sidecar; port 0 takes a free one.",
        ),
    ]
