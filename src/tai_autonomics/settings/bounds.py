"""How much and how long: the bounds that are settings."""

from typing import Annotated

from tai_autonomics.settings.forms import MEBIBYTE, Setting, seconds, whole
from tai_autonomics.settings.places import Places


class Bounds(Places, frozen=True, kw_only=True):
    """Every variable: the places, and after them the bounds. The order of the fields is the order of the documents."""

    request_seconds_max: Annotated[
        float, Setting("TAI_REQUEST_SECONDS_MAX", seconds(0.1, 300), "10", "The deadline of a request.")
    ]
    requests_at_once_max: Annotated[
        int,
        Setting("TAI_REQUESTS_AT_ONCE_MAX", whole(1, 100_000, "requests"), "1000", "In flight; beyond it 429."),
    ]
    body_bytes_max: Annotated[
        int, Setting("TAI_BODY_BYTES_MAX", whole(1024, 16 * MEBIBYTE, "bytes"), "262144", "A body; beyond it 413.")
    ]
    push_body_bytes_max: Annotated[
        int,
        Setting(
            "TAI_PUSH_BODY_BYTES_MAX",
            whole(1024, 64 * MEBIBYTE, "bytes"),
            "14680064",
            "A body of `POST /pubsub`; a Pub/Sub message may be 10 MB before base64.",
        ),
    ]
    header_bytes_max: Annotated[
        int, Setting("TAI_HEADER_BYTES_MAX", whole(1024, MEBIBYTE, "bytes"), "16384", "All headers; beyond it 431.")
    ]
    tenant_rate_per_second: Annotated[
        int,
        Setting(
            "TAI_TENANT_RATE_PER_SECOND",
            whole(1, 1_000_000, "requests a second"),
            "5000",
            "What one tenant may ask of one instance; beyond it 429 `rate_limited`.",
        ),
    ]
    caller_rate_per_second: Annotated[
        int,
        Setting(
            "TAI_CALLER_RATE_PER_SECOND",
            whole(1, 1_000_000, "requests a second"),
            "50000",
            "What one caller may ask of one instance, of all tenants together; beyond it 429 `rate_limited`.",
        ),
    ]
    caller_burst: Annotated[
        int,
        Setting(
            "TAI_CALLER_BURST",
            whole(1, 10_000_000, "requests"),
            "50000",
            "What a caller that was quiet may ask at once, before that rate holds it.",
        ),
    ]
    new_ledgers_per_minute_max: Annotated[
        int,
        Setting(
            "TAI_NEW_LEDGERS_PER_MINUTE_MAX",
            whole(1, 10_000_000, "ledgers a minute"),
            "10000",
            "What one caller may begin on one instance; beyond it 429 `rate_limited`.",
        ),
    ]
    quarantine_max: Annotated[
        int,
        Setting(
            "TAI_QUARANTINE_MAX",
            whole(1, 10_000_000, "messages"),
            "10000",
            "Messages in quarantine; when it is full, `POST /pubsub` answers 503.",
        ),
    ]

    lanes_max: Annotated[
        int,
        Setting("TAI_LANES_MAX", whole(1, 10_000_000, "tenants"), "100000", "Tenants whose state is kept in memory."),
    ]
    lane_waiting_max: Annotated[
        int,
        Setting(
            "TAI_LANE_WAITING_MAX",
            whole(1, 1_000_000, "commands"),
            "1000",
            "Commands of one tenant that wait; beyond it 429 `rate_limited`.",
        ),
    ]
    waiting_max: Annotated[
        int,
        Setting(
            "TAI_WAITING_MAX",
            whole(1, 1_000_000, "commands"),
            "10000",
            "Commands of all tenants that wait; beyond it 429 `overloaded`.",
        ),
    ]
    append_receipts_max: Annotated[
        int, Setting("TAI_APPEND_RECEIPTS_MAX", whole(1, 100_000, "receipts"), "1000", "Receipts in one append.")
    ]
    append_bytes_max: Annotated[
        int,
        Setting("TAI_APPEND_BYTES_MAX", whole(64 * 1024, 256 * MEBIBYTE, "bytes"), "4194304", "Bytes in one append."),
    ]
    snapshot_receipts: Annotated[
        int,
        Setting(
            "TAI_SNAPSHOT_RECEIPTS",
            whole(1, 1_000_000, "receipts"),
            "200",
            "A tenant's state is stored again after this many receipts.",
        ),
    ]
    snapshot_bytes: Annotated[
        int,
        Setting(
            "TAI_SNAPSHOT_BYTES",
            whole(1024, 256 * MEBIBYTE, "bytes"),
            "256000",
            "A tenant's state is stored again after this many bytes of receipts.",
        ),
    ]
    entitlements_max: Annotated[
        int,
        Setting(
            "TAI_ENTITLEMENTS_MAX",
            whole(1, 10_000, "entitlements"),
            "1000",
            "Entitlements of one tenant; beyond it refused `too_many_entitlements`.",
        ),
    ]
    observed_ahead_seconds_max: Annotated[
        int,
        Setting(
            "TAI_OBSERVED_AHEAD_SECONDS_MAX",
            whole(0, 86_400, "seconds"),
            "300",
            "An `observed_at` further ahead of our clock is refused `clock_skew`.",
        ),
    ]
    clock_skew_seconds_max: Annotated[
        float,
        Setting(
            "TAI_CLOCK_SKEW_SECONDS_MAX",
            seconds(1, 3600),
            "60",
            "With our clock further off, nothing is sealed: 503 `clock_untrusted`.",
        ),
    ]
    state_age_seconds_max: Annotated[
        float,
        Setting(
            "TAI_STATE_AGE_SECONDS_MAX",
            seconds(0, 3600),
            "1",
            "On a store that several instances write: a check from an older state asks the store first.",
        ),
    ]
    actions_in_hand_max: Annotated[
        int,
        Setting(
            "TAI_ACTIONS_IN_HAND_MAX",
            whole(1, 100_000, "actions"),
            "1000",
            "Actions that one instance works on; what is over it waits in the store.",
        ),
    ]
    actions_at_once_max: Annotated[
        int, Setting("TAI_ACTIONS_AT_ONCE_MAX", whole(1, 10_000, "actions"), "32", "Attempts that reach out at once.")
    ]
    actions_of_type_at_once_max: Annotated[
        int,
        Setting(
            "TAI_ACTIONS_OF_TYPE_AT_ONCE_MAX",
            whole(1, 10_000, "actions"),
            "16",
            "Attempts of one type of action at once.",
        ),
    ]
    timer_poll_seconds: Annotated[
        float, Setting("TAI_TIMER_POLL_SECONDS", seconds(0.05, 60), "1", "How often due timers are looked for.")
    ]
    secrets_refresh_seconds: Annotated[
        float,
        Setting(
            "TAI_SECRETS_REFRESH_SECONDS",
            seconds(0, 86_400),
            "300",
            "How often secrets in files and in Secret Manager are read again, beside SIGHUP; 0: on SIGHUP alone.",
        ),
    ]
    drain_seconds_max: Annotated[
        float, Setting("TAI_DRAIN_SECONDS_MAX", seconds(0, 300), "8", "How long a stopping process finishes its work.")
    ]
