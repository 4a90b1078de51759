"""Where a setting's value comes from, and how a wrong one is told."""

import base64
import contextlib
from pathlib import Path
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tai_autonomics.errors import InvalidSetting
from tai_autonomics.settings import (
    TABLE,
    Address,
    Loaded,
    Settings,
    SigningSecrets,
    WebhookSecrets,
    WebhookTenants,
    firestore_place,
    shown,
)
from tai_autonomics.settings.reading import Found


def problems(environ: dict[str, str], **how: object) -> list[str]:
    try:
        Settings.load(environ, **how)  # type: ignore[arg-type]
    except InvalidSetting as refusal:
        return str(refusal).splitlines()
    return []


def dotenv(tmp_path: Path, text: str) -> Path:
    file = tmp_path / ".env"
    file.write_text(text)
    return file


def as_shown(loaded: Loaded) -> dict[str, str]:
    return {one.name: one.value for one in shown(loaded)}


def test_without_any_variable_the_defaults_are_in_force() -> None:
    loaded = Settings.load({})
    assert set(loaded.sources.values()) == {"default"}
    assert loaded.warnings == ()
    assert (loaded.settings.host, loaded.settings.port) == ("0.0.0.0", 8080)
    assert loaded.settings.store_url == "sqlite:///data/tai.db"
    assert loaded.settings.metrics_address == Address("127.0.0.1", 9464)
    assert loaded.settings.lanes_max == 100_000


def test_every_default_has_the_type_of_its_field_and_keeps_its_own_rule() -> None:
    hints = get_type_hints(Settings)
    for settings in (Settings.load({}).settings, Settings.load({}, dev=True).settings):
        assert [field for field in TABLE if not isinstance(getattr(settings, field), hints[field])] == []


def test_dev_stays_on_loopback_and_logs_for_a_person() -> None:
    settings = Settings.load({}, dev=True).settings
    assert (settings.host, settings.environment, settings.log_format) == ("127.0.0.1", "development", "console")


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = dotenv(tmp_path, "PORT=1\nTAI_LANES_MAX=2\nLOG_LEVEL=debug\n")
    loaded = Settings.load({"PORT": "3", "TAI_LANES_MAX": "4"}, dev=True, dotenv=file, overrides={"PORT": "5"})
    assert (loaded.settings.port, loaded.settings.lanes_max, loaded.settings.log_level) == (5, 4, "debug")
    assert [loaded.sources[name] for name in ("PORT", "TAI_LANES_MAX", "LOG_LEVEL", "HOST", "TAI_WAITING_MAX")] == [
        "command line",
        "environment",
        ".env",
        "dev default",
        "default",
    ]


def test_an_empty_value_is_unset(tmp_path: Path) -> None:
    file = dotenv(tmp_path, "PORT=1\nHOST=\n")
    loaded = Settings.load({"PORT": "", "PLANS_FILE": ""}, dev=True, dotenv=file, overrides={"PORT": ""})
    assert (loaded.settings.port, loaded.settings.host, loaded.settings.plans_file) == (1, "127.0.0.1", None)


def test_the_file_is_read_in_dev_alone_and_need_not_exist(tmp_path: Path) -> None:
    assert Settings.load({}, dotenv=dotenv(tmp_path, "PORT=1")).settings.port == 8080
    assert Settings.load({}, dev=True, dotenv=tmp_path / "missing").settings.port == 8080


def test_the_file_understands_comments_quotes_and_export(tmp_path: Path) -> None:
    file = dotenv(
        tmp_path,
        "\ufeff# a comment\n\nexport PORT = 81 # another\nJWT_ISSUER='a#b'\r\nJWT_AUDIENCE=\"c\"\nHOST=\n",
    )
    settings = Settings.load({}, dev=True, dotenv=file).settings
    assert (settings.port, settings.jwt_issuer, settings.jwt_audience, settings.host) == (81, "a#b", "c", "127.0.0.1")


@pytest.mark.parametrize("line", ["PORT", "PORT 1", "=1", "1A=2", "PORT=1 2", "PORT='1", "PORT=a'b c", "- PORT=1"])
def test_a_line_of_the_file_that_is_no_setting_is_named_and_not_quoted(tmp_path: Path, line: str) -> None:
    file = dotenv(tmp_path, f"HOST=::1\n{line}\n")
    assert problems({}, dev=True, dotenv=file) == [
        f"{file}:2: is not NAME=value; quote a value that holds a space or a #"
    ]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert problems({}, dev=True, dotenv=tmp_path) == [f"{tmp_path}: Is a directory"]
    file = tmp_path / ".env"
    file.write_bytes(b"A=\xff")
    assert problems({}, dev=True, dotenv=file) == [f"{file}: it is not UTF-8"]
    file.write_bytes(b"#" * 70_000)
    assert problems({}, dev=True, dotenv=file) == [f"{file}: it is larger than 65536 bytes"]


def test_every_wrong_variable_is_named_with_its_problem_and_the_allowed_form() -> None:
    assert problems({"PORT": "http", "LOG_LEVEL": "loud", "TAI_LANES_MAX": "0", "TAI_DRAIN_SECONDS_MAX": "-1"}) == [
        "PORT: 'http' is not a whole number; allowed: TCP port, a whole number from 0 to 65535",
        "LOG_LEVEL: 'loud' is none of them; allowed: debug or info or warning or error",
        "TAI_LANES_MAX: '0' is out of bounds; allowed: tenants, a whole number from 1 to 10000000",
        "TAI_DRAIN_SECONDS_MAX: '-1' is not a number; allowed: seconds, a number from 0 to 300",
    ]


@pytest.mark.parametrize("port", ["65536", "8e3", "٣", " 80", "80\n", "0x50", "1_000", "+80", "9" * 5000])
def test_a_number_is_plain_digits_within_its_bounds(port: str) -> None:
    (problem,) = problems({"PORT": port})
    assert problem.startswith("PORT: ")
    assert len(problem) < 250


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HOST", "a b"),
        ("ENVIRONMENT", "Production"),
        ("TAI_DATA_DIR", "s3://bucket"),
        ("PLANS_FILE", "https://example.com/plans.yaml"),
        ("JWT_KEYS", "https://issuer.example/jwks.json"),
        ("JWT_KEYS", "a\nb"),
        ("JWT_ISSUER", "a b"),
        ("JWT_LEEWAY_SECONDS", "301"),
        ("JWT_LEEWAY_SECONDS", "nan"),
        ("JWT_LEEWAY_SECONDS", "1e1"),
        ("GCP_PROJECT_ID", "No"),
        ("TAI_METRICS_ADDRESS", "9464"),
        ("TAI_METRICS_ADDRESS", "localhost:"),
        ("TAI_METRICS_ADDRESS", "localhost:65536"),
        ("TAI_METRICS_ADDRESS", "::1:9464"),
        ("STORE_URL", "sqlite:///"),
        ("STORE_URL", "sqlite://data/tai.db"),
        ("STORE_URL", "sqlite:data"),
        ("STORE_URL", "sqlite:///a?mode=ro"),
        ("STORE_URL", "sqlite://:memory:"),
        ("STORE_URL", "mysql://u:hunter2@h/db"),
        ("STORE_URL", "postgresql://u:hunter2@h"),
        ("STORE_URL", "postgresql://u:hunter2/db"),
        ("STORE_URL", "postgresql://u:hun@ter2@h/db"),
        ("STORE_URL", "postgresql://u:hunter2/x@h/db"),
        ("STORE_URL", "postgresql://h:54321a/db?password=hunter2"),
        ("STORE_URL", "postgresql://h/db?p%61ssword=hunter2"),
        ("STORE_URL", "postgresql://h/db?password=hunter2#"),
        ("TAI_POSTGRES_CONNECTIONS_MAX", "1"),
        ("STORE_URL", "firestore://"),
        ("STORE_URL", "firestore://Project"),
        ("STORE_URL", "firestore://project/x"),
        ("STORE_URL", "firestore://project/database/more"),
        ("STORE_URL", "firestore://project?database=x"),
        ("FIRESTORE_EMULATOR_HOST", "http://localhost:8080"),
        ("FIRESTORE_DATABASE", "Ledgers"),
        ("FIRESTORE_COLLECTION", "a/b"),
        ("FIRESTORE_COLLECTION", "__receipts__"),
        ("FIRESTORE_COLLECTION", "heads"),
        ("STORE_URL", "firestore:///"),
        ("STORE_URL", "hunter2"),
    ],
)
def test_a_wrong_value_stops_the_start(name: str, value: str) -> None:
    (problem,) = problems({name: value, "JWT_AUDIENCE": "a"} if name != "JWT_KEYS" else {name: value})
    assert problem.startswith(f"{name}: ")
    assert "; allowed: " in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    "content",
    [
        "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----",
        '{"keys":[{"k":"c2VjcmV0"}]}',
        "-----BEGIN PRIVATE KEY-----c2VjcmV0",
    ],
)
def test_a_key_pasted_in_place_of_its_path_is_not_repeated(content: str) -> None:
    (problem,) = problems({"JWT_KEYS": content})
    assert problem == "JWT_KEYS: the value is the content of a file; give its path; allowed: a path"


@given(st.sampled_from([one.name for one in TABLE.values()]), st.text(max_size=80))
def test_no_value_does_anything_but_pass_or_be_refused(name: str, value: str) -> None:
    with contextlib.suppress(InvalidSetting):
        assert isinstance(Settings.load({name: value}), Loaded)


def test_an_address_may_be_ipv6_or_off() -> None:
    assert Settings.load({"TAI_METRICS_ADDRESS": "[::1]:0"}).settings.metrics_address == Address("::1", 0)
    assert Settings.load({"TAI_METRICS_ADDRESS": "off"}).settings.metrics_address is None


def test_the_store_lies_in_the_data_directory_unless_it_is_named() -> None:
    assert Settings.load({"TAI_DATA_DIR": "/data"}).settings.store_url == "sqlite:////data/tai.db"
    assert (
        Settings.load({"TAI_DATA_DIR": "/data", "STORE_URL": "sqlite:///x.db"}).settings.store_url == "sqlite:///x.db"
    )


def test_a_store_that_forgets_is_for_dev_alone() -> None:
    assert Settings.load({"STORE_URL": "sqlite://:memory:"}, dev=True).settings.store_url == "sqlite://:memory:"


def test_keys_of_an_issuer_need_its_name_and_ours() -> None:
    assert problems({"JWT_KEYS": "keys.json"}) == [
        "JWT_ISSUER: is not set; required with JWT_KEYS",
        "JWT_AUDIENCE: is not set; required with JWT_KEYS",
    ]
    given_all = {"JWT_KEYS": "keys.json", "JWT_ISSUER": "https://issuer.example", "JWT_AUDIENCE": "tai"}
    assert Settings.load(given_all).settings.jwt_keys == Path("keys.json")


def test_a_lane_does_not_wait_for_more_than_the_instance_does() -> None:
    assert problems({"TAI_LANE_WAITING_MAX": "11", "TAI_WAITING_MAX": "10"}) == [
        "TAI_LANE_WAITING_MAX: 11 is more than TAI_WAITING_MAX, 10"
    ]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.com"])
def test_dev_does_not_leave_loopback(host: str) -> None:
    (problem,) = problems({"HOST": host}, dev=True)
    assert problem == f"HOST: {host!r} is not loopback, where --dev stays; allowed: 127.0.0.1 or ::1"


@pytest.mark.parametrize("host", ["127.0.0.2", "::1", "localhost"])
def test_dev_listens_on_any_loopback(host: str) -> None:
    assert Settings.load({"HOST": host}, dev=True).settings.host == host


def test_a_secret_may_be_given_as_a_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("sqlite:///x.db\n")
    loaded = Settings.load({"STORE_URL_FILE": str(file)})
    assert (loaded.settings.store_url, loaded.sources["STORE_URL"]) == ("sqlite:///x.db", "STORE_URL_FILE")


def test_a_secret_given_twice_or_in_a_file_that_is_no_use_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")
    assert problems({"STORE_URL": "sqlite:///a", "STORE_URL_FILE": str(empty)}) == [
        "STORE_URL: is set, and so is STORE_URL_FILE: keep one of them"
    ]
    assert problems({"STORE_URL_FILE": str(empty)}) == [
        "STORE_URL: cannot be read from STORE_URL_FILE: the file is empty"
    ]
    assert problems({"STORE_URL_FILE": str(tmp_path / "no")}) == [
        "STORE_URL: cannot be read from STORE_URL_FILE: No such file or directory"
    ]
    assert problems({"STORE_URL_FILE": "a\0b"}) == ["STORE_URL: cannot be read from STORE_URL_FILE: embedded null byte"]


def test_only_a_secret_has_a_file() -> None:
    assert Settings.load({"PORT_FILE": "/etc/hostname"}).settings.port == 8080


def test_a_variable_of_ours_that_nothing_reads_is_reported(tmp_path: Path) -> None:
    file = dotenv(tmp_path, "TAI_ZZZ=1\n")
    loaded = Settings.load({"TAI_LANE_MAX": "7", "OTHER": "1", "TAI_LANES_MAX": "7"}, dev=True, dotenv=file)
    assert loaded.warnings == (
        "TAI_LANE_MAX is set and nothing reads it; is TAI_LANES_MAX meant?",
        "TAI_ZZZ is set and nothing reads it",
    )


def test_what_is_shown_is_every_setting_in_force() -> None:
    values = as_shown(Settings.load({"TAI_METRICS_ADDRESS": "[::1]:9464", "TAI_TIMER_POLL_SECONDS": "0.50"}))
    assert list(values) == [one.name for one in TABLE.values()]
    assert (values["PORT"], values["TAI_METRICS_ADDRESS"], values["TAI_TIMER_POLL_SECONDS"]) == (
        "8080",
        "[::1]:9464",
        "0.5",
    )
    assert (values["PLANS_FILE"], values["STORE_URL"]) == ("", "sqlite:///data/tai.db")
    assert as_shown(Settings.load({"TAI_METRICS_ADDRESS": "off"}))["TAI_METRICS_ADDRESS"] == "off"


def test_what_is_shown_can_be_set_again() -> None:
    values = as_shown(Settings.load({"PORT": "81", "TAI_DATA_DIR": "/data"}))
    again = Settings.load(values)
    assert as_shown(again) == values


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///db",
        "postgresql://h/db",
        "postgresql://u@h:5432/db",
        "postgres://u:p%40ss@h1:5432,[::1]:5433/db?target_session_attrs=read-write&sslmode=verify-full",
        "postgresql:///db?host=/var/run/postgresql",
    ],
)
def test_a_postgresql_url_may_be_of_any_form_that_names_a_database(url: str) -> None:
    assert Settings.load({"STORE_URL": url}).settings.store_url == url


@pytest.mark.parametrize(
    ("url", "shown_as"),
    [
        ("postgresql://u:hunter2@h/db", "postgresql://***@h/db"),
        (
            "postgresql://h/db?sslpassword=hunter2&password=hunter2&user=u",
            "postgresql://h/db?sslpassword=***&password=***&user=u",
        ),
        ("postgresql://h/db?pasword=hunter2&sslmode=require", "postgresql://h/db?pasword=***&sslmode=require"),
    ],
)
def test_a_password_of_postgresql_is_masked_wherever_it_stands(url: str, shown_as: str) -> None:
    assert as_shown(Settings.load({"STORE_URL": url}))["STORE_URL"] == shown_as


def test_no_text_of_settings_holds_a_secret() -> None:
    loaded = Settings.load(
        {"STORE_URL": "postgresql://u:hunter2@h/db", "TAI_WEBHOOK_SIGNING_SECRETS": f"*={whsec(32)}"}
    )
    for text in (repr(loaded), str(loaded.settings), f"{loaded.settings!r}"):
        assert "store_url=postgresql://***@h/db" in text
        assert "webhook_signing_secrets=*=***" in text
    assert "hunter2" not in repr(Found("hunter2", "environment"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWT_JWKS_URL", "https://u:hunter2@idp.example.com/keys"),
        ("PLANS_FILE", "https://u:hunter2@example.com/plans.yaml"),
        ("HOST", "u:hunter2@h/"),
        ("JWT_ISSUER", "a whsec_hunter2"),
    ],
)
def test_a_secret_pasted_into_another_setting_is_not_quoted(name: str, value: str) -> None:
    (problem,) = (each for each in problems({name: value, "JWT_AUDIENCE": "a"}) if "the value" in each)
    assert problem.startswith(f"{name}: the value ")
    assert "hunter2" not in problem


def test_a_password_in_a_url_is_masked() -> None:
    loaded = Settings.load({"STORE_URL": "sqlite:////u:hunter2@h/db"})
    assert as_shown(loaded)["STORE_URL"] == "sqlite:////***@h/db"


def test_on_cloud_run_no_service_starts_on_its_own_disk() -> None:
    assert (
        problems({}, serving=True) == problems({"K_SERVICE": ""}, serving=True) == problems({"K_SERVICE": "tai"}) == []
    )
    (problem,) = problems({"K_SERVICE": "tai"}, serving=True)
    assert problem.startswith("STORE_URL: an embedded store is lost with its instance on Cloud Run")


@pytest.mark.parametrize("url", ["postgresql://h/db", "firestore://project"])
@pytest.mark.parametrize("dev", [False, True])
def test_on_a_shared_store_no_service_makes_up_its_keys_and_all_that_is_missing_is_named(url: str, dev: bool) -> None:
    named = [problem.partition(":")[0] for problem in problems({"STORE_URL": url, "PORT": "x"}, serving=True, dev=dev)]
    assert named == ["PORT", "JWT_KEYS or JWT_JWKS_URL", "JWT_ISSUER", "JWT_AUDIENCE"]
    origin = {"JWT_ISSUER": "https://issuer.example", "JWT_AUDIENCE": "tai"}
    for keys in ({"JWT_KEYS": "keys.json"}, {"JWT_JWKS_URL": "https://issuer.example/keys"}):
        assert problems({"STORE_URL": url, **origin, **keys}, serving=True, dev=dev) == []
    assert problems({"STORE_URL": url}) == []


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("firestore://acme-prod/ledgers", ("acme-prod", "ledgers")),
        ("firestore://acme-prod/(default)", ("acme-prod", "(default)")),
        ("firestore://acme-prod/", ("acme-prod", "(default)")),
        ("firestore://acme-prod", ("acme-prod", "(default)")),
        ("firestore://example.com:acme-prod/db-2", ("example.com:acme-prod", "db-2")),
    ],
)
def test_a_firestore_url_names_a_project_and_perhaps_a_database(url: str, named: tuple[str, str]) -> None:
    assert firestore_place(Settings.load({"STORE_URL": url}).settings) == named


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("firestore://", ("acme-prod", "ledgers")),
        ("firestore:///", ("acme-prod", "ledgers")),
        ("firestore:///ledgers", ("acme-prod", "ledgers")),
        ("firestore://acme-prod", ("acme-prod", "ledgers")),
        ("firestore://acme-prod/ledgers", ("acme-prod", "ledgers")),
    ],
)
def test_what_a_firestore_url_leaves_out_is_filled_from_its_own_variables(url: str, named: tuple[str, str]) -> None:
    environ = {"STORE_URL": url, "GCP_PROJECT_ID": "acme-prod", "FIRESTORE_DATABASE": "ledgers"}
    assert firestore_place(Settings.load(environ).settings) == named


def test_a_variable_that_differs_from_the_firestore_url_stops_the_start() -> None:
    environ = {"STORE_URL": "firestore://acme-prod/(default)", "GCP_PROJECT_ID": "acme-test"}
    assert problems({**environ, "FIRESTORE_DATABASE": "ledgers"}) == [
        "GCP_PROJECT_ID: 'acme-test' is not the project that STORE_URL names; keep one of them",
        "FIRESTORE_DATABASE: 'ledgers' is not the database that STORE_URL names; keep one of them",
    ]
    elsewhere = {**environ, "STORE_URL": "sqlite:///data/tai.db", "FIRESTORE_DATABASE": "ledgers"}
    assert Settings.load(elsewhere).settings.store_url == "sqlite:///data/tai.db"


def whsec(length: int, *, letter: bytes = b"s") -> str:
    return "whsec_" + base64.b64encode(letter * length).decode()


def test_signing_secrets_are_kept_by_host_the_old_beside_the_new() -> None:
    value = f"hooks.example.com={whsec(24)} hooks.example.com={whsec(64)}\n*={whsec(32)}"
    secrets = Settings.load({"TAI_WEBHOOK_SIGNING_SECRETS": value}).settings.webhook_signing_secrets
    assert secrets == SigningSecrets({"hooks.example.com": (b"s" * 24, b"s" * 64), "*": (b"s" * 32,)})


def test_signing_secrets_are_masked_wherever_they_are_shown(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text(f"hooks.example.com={whsec(24)}\nhooks.example.com={whsec(25)}\n*={whsec(32)}\n")
    loaded = Settings.load({"TAI_WEBHOOK_SIGNING_SECRETS_FILE": str(file)})
    masked = "hooks.example.com=*** hooks.example.com=*** *=***"
    assert as_shown(loaded)["TAI_WEBHOOK_SIGNING_SECRETS"] == masked
    assert masked in repr(loaded)
    assert "ssss" not in repr(loaded)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (whsec(24), "has an entry whose host is none (lower case, without a port)"),
        (f"Hooks.example.com={whsec(24)}", "has an entry whose host is none (lower case, without a port)"),
        (f"https://hooks.example.com={whsec(24)}", "has an entry whose host is none (lower case, without a port)"),
        (f"hooks.example.com:443={whsec(24)}", "has an entry whose host is none (lower case, without a port)"),
        ("*=whsec_not/base64!", "has a secret that is not base64"),
        ("*=whsec_c2hvcnQ=", "has a secret that is not whsec_ and the base64 of 24 to 64 bytes"),
        (f"*={whsec(65)}", "has a secret that is not whsec_ and the base64 of 24 to 64 bytes"),
        (f"*={whsec(24)[6:]}", "has a secret that is not whsec_ and the base64 of 24 to 64 bytes"),
        (" ".join([f"*={whsec(24)}"] * 5), "has more than 4 secrets for one host"),
    ],
)
def test_signing_secrets_that_are_none_are_told_and_not_quoted(value: str, problem: str) -> None:
    (told,) = problems({"TAI_WEBHOOK_SIGNING_SECRETS": value})
    assert told.startswith(f"TAI_WEBHOOK_SIGNING_SECRETS: the value {problem}; allowed: host=whsec_")


def test_webhook_secrets_are_kept_by_source_and_masked() -> None:
    value = f"billing={whsec(24)} billing={whsec(25)}\nshop.eu={whsec(26)}"
    loaded = Settings.load(
        {"MARKETPLACE_WEBHOOK_SECRETS": value, "MARKETPLACE_WEBHOOK_TENANTS": "billing=acme,globex:1"}
    )
    assert loaded.settings.marketplace_webhook_secrets == WebhookSecrets(
        {"billing": (b"s" * 24, b"s" * 25), "shop.eu": (b"s" * 26,)}
    )
    assert loaded.settings.marketplace_webhook_tenants == WebhookTenants({"billing": frozenset({"acme", "globex:1"})})
    assert as_shown(loaded)["MARKETPLACE_WEBHOOK_SECRETS"] == "billing=*** billing=*** shop.eu=***"
    assert as_shown(loaded)["MARKETPLACE_WEBHOOK_TENANTS"] == "billing=acme,globex:1"
    assert "ssss" not in repr(loaded)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (" ", "has not 1 to 32 secrets"),
        (whsec(24), "has an entry whose source is not 1 to 64 of a-z, 0-9, ., _ and -"),
        (f"a:b={whsec(24)}", "has an entry whose source is not 1 to 64 of a-z, 0-9, ., _ and -"),
        (f"{'a' * 65}={whsec(24)}", "has an entry whose source is not 1 to 64 of a-z, 0-9, ., _ and -"),
        ("a=whsec_c2hvcnQ=", "has a secret that is not whsec_ and the base64 of 24 to 64 bytes"),
        (" ".join(f"a={whsec(length)}" for length in range(24, 29)), "has more than 4 secrets for one source"),
        (" ".join(f"s{length}={whsec(length)}" for length in range(24, 57)), "has not 1 to 32 secrets"),
        (f"a={whsec(24)} b={whsec(24)}", "has a secret that is there twice, and a source is told by its secret"),
    ],
)
def test_webhook_secrets_that_are_none_are_told_and_not_quoted(value: str, problem: str) -> None:
    (told,) = problems({"MARKETPLACE_WEBHOOK_SECRETS": value})
    assert told.startswith(f"MARKETPLACE_WEBHOOK_SECRETS: the value {problem}; allowed: source=whsec_")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("billing", "has an entry whose tenants are none"),
        ("billing=", "has an entry whose tenants are none"),
        ("billing=acme,", "has an entry whose tenants are none"),
        ("billing=*", "has an entry whose tenants are none"),
        ("=acme", "has an entry whose source is not 1 to 64 of a-z, 0-9, ., _ and -"),
        ("billing=acme billing=globex", "names a source twice"),
    ],
)
def test_webhook_tenants_that_are_none_are_told(value: str, problem: str) -> None:
    (told,) = problems({"MARKETPLACE_WEBHOOK_SECRETS": f"billing={whsec(24)}", "MARKETPLACE_WEBHOOK_TENANTS": value})
    assert f"{value!r} {problem}" in told


def test_a_source_with_tenants_and_no_secret_stops_the_start() -> None:
    told = problems(
        {"MARKETPLACE_WEBHOOK_SECRETS": f"billing={whsec(24)}", "MARKETPLACE_WEBHOOK_TENANTS": "biling=acme"}
    )
    assert told == ["MARKETPLACE_WEBHOOK_TENANTS: 'biling' has no secret in MARKETPLACE_WEBHOOK_SECRETS"]


def test_a_misspelt_variable_of_webhooks_is_reported() -> None:
    (warning,) = Settings.load({"MARKETPLACE_WEBHOOK_TENANT": "billing=acme"}).warnings
    assert warning == ("MARKETPLACE_WEBHOOK_TENANT is set and nothing reads it; is MARKETPLACE_WEBHOOK_TENANTS meant?")


PUSH = {
    "PUBSUB_PUSH_AUDIENCE": "https://tai.example/pubsub",
    "PUBSUB_PUSH_SERVICE_ACCOUNT": "pusher@acme-prod.iam.gserviceaccount.com",
}


def test_a_push_subscription_is_known_by_its_audience_and_its_service_account() -> None:
    settings = Settings.load(PUSH).settings
    assert settings.pubsub_push_audience == "https://tai.example/pubsub"
    assert settings.pubsub_push_service_account == "pusher@acme-prod.iam.gserviceaccount.com"
    assert settings.pubsub_push_certs_url == "https://www.googleapis.com/oauth2/v1/certs"


@pytest.mark.parametrize("missing", PUSH)
def test_one_of_audience_and_service_account_stops_the_start(missing: str) -> None:
    (given,) = set(PUSH) - {missing}
    assert problems({given: PUSH[given]}) == [f"{missing}: is not set; required with {given}"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBSUB_PUSH_AUDIENCE", "a b"),
        ("PUBSUB_PUSH_SERVICE_ACCOUNT", "pusher"),
        ("PUBSUB_PUSH_SERVICE_ACCOUNT", "Pusher@acme-prod.iam.gserviceaccount.com"),
        ("PUBSUB_PUSH_SERVICE_ACCOUNT", "serviceAccount:pusher@acme-prod.iam.gserviceaccount.com"),
        ("PUBSUB_PUSH_SERVICE_ACCOUNT", f"{'p' * 120}@acme-prod"),
        ("PUBSUB_PUSH_CERTS_URL", "http://www.googleapis.com/oauth2/v1/certs"),
        ("PUBSUB_PUSH_CERTS_URL", "https://user@www.googleapis.com/oauth2/v1/certs"),
        ("PUBSUB_PUSH_CERTS_URL", "https://www.googleapis.com/oauth2/v1/certs?alt=json"),
        ("PUBSUB_PUSH_CERTS_URL", "/etc/certs.json"),
    ],
)
def test_what_is_no_push_subscription_is_told(name: str, value: str) -> None:
    (told,) = problems({**PUSH, name: value})
    assert told.startswith(f"{name}: ")
    assert "has another form" in told


def test_networks_are_shown_as_they_are_set() -> None:
    loaded = Settings.load({"TAI_WEBHOOK_ADDRESSES_ALLOWED": "10.1.0.0/16, 192.168.0.7,fd00::/8"})
    assert as_shown(loaded)["TAI_WEBHOOK_ADDRESSES_ALLOWED"] == "10.1.0.0/16,192.168.0.7/32,fd00::/8"
    assert Settings.load({}).settings.webhook_addresses_allowed is None
    assert as_shown(Settings.load({}, dev=True))["TAI_WEBHOOK_ADDRESSES_ALLOWED"] == "127.0.0.0/8,::1/128"


@pytest.mark.parametrize("value", ["10.0.0.1/8", "localhost", "10.0.0.0/33", "10.0.0.0/8,", "10.0.0.0/8;::1"])
def test_what_is_no_network_is_told(value: str) -> None:
    (told,) = problems({"TAI_WEBHOOK_ADDRESSES_ALLOWED": value})
    assert "holds something that is no network" in told


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318"),
        ("https://telemetry.example/", "https://telemetry.example"),
        ("http://[::1]:4318/otlp/", "http://[::1]:4318/otlp"),
    ],
)
def test_an_endpoint_of_traces_is_a_base_url(url: str, read: str) -> None:
    assert Settings.load({"OTEL_EXPORTER_OTLP_ENDPOINT": url}).settings.otlp_endpoint == read


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:4318", "grpc://h:4317", "http://u:p@h", "https://h/v1?key=1", "http://h/#f", "http://", "http://h:x"],
)
def test_what_is_no_endpoint_of_traces_is_told(url: str) -> None:
    (problem,) = problems({"OTEL_EXPORTER_OTLP_ENDPOINT": url})
    assert problem.startswith("OTEL_EXPORTER_OTLP_ENDPOINT: ")
    assert "is no such URL; allowed: an http or https URL" in problem


@pytest.mark.parametrize(("text", "share"), [("0", 0.0), ("0.05", 0.05), ("1", 1.0), ("1.000000", 1.0)])
def test_a_share_is_from_none_to_all(text: str, share: float) -> None:
    assert Settings.load({"TRACE_SAMPLE_RATIO": text}).settings.trace_sample_ratio == share


@pytest.mark.parametrize("text", ["1.1", "2", "-0.1", "10%", ".5", "1e-2", "0.1234567", "nan"])
def test_what_is_no_share_is_told(text: str) -> None:
    (problem,) = problems({"TRACE_SAMPLE_RATIO": text})
    assert problem.startswith(f"TRACE_SAMPLE_RATIO: {text!r} ")
