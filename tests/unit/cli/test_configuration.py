"""`config`, `plans check`, `token mint`, `doctor` and what `serve` needs before it starts."""

import asyncio
import io
import json
import socket
import stat
import sys
from pathlib import Path

import pytest
import typer
from tests.engines.google_keys import GoogleKeys
from tests.unit.cli.exports import CommandLine
from tests.unit.cli.test_moving import change

from tai_autonomics import wiring
from tai_autonomics.cli.doctor import Finding, clock_is_plausible, port_is_free
from tai_autonomics.cli.serve import greeting
from tai_autonomics.cli.statuses import ExitStatus
from tai_autonomics.cli.token import seconds_of
from tai_autonomics.identity.keys import first_start_key
from tai_autonomics.identity.tokens import TokenVerifier
from tai_autonomics.policy.file import shipped
from tai_autonomics.settings import Settings

PLANS = "plans:\n  basic:\n    rank: 1\n    features: []\n    quotas: {}\n"


def test_config_shows_where_each_value_came_from(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9000")
    monkeypatch.setenv("TAI_LANE_MAX", "1")
    assert cli("config", "--data-dir", "there", "--json") == 0
    document = cli.documents[0]
    shown = {each["name"]: (each["value"], each["source"]) for each in document["settings"]}
    assert shown["PORT"] == ("9000", "environment")
    assert shown["TAI_DATA_DIR"] == ("there", "command line")
    assert shown["STORE_URL"] == ("sqlite:///there/tai.db", "default")
    assert document["warnings"] == ["TAI_LANE_MAX is set and nothing reads it; is TAI_LANES_MAX meant?"]
    assert cli.err == "warning: TAI_LANE_MAX is set and nothing reads it; is TAI_LANES_MAX meant?\n"
    assert (cli("config", "--quiet"), cli.out, cli.err) == (0, "", "")


def test_config_reads_the_env_file_in_dev_alone(cli: CommandLine) -> None:
    (cli.directory / ".env").write_text("PORT=9001\n")
    assert cli("config") == 0
    assert "9001" not in cli.out
    assert cli("config", "--dev") == 0
    assert ["PORT", "9001", ".env"] in [line.split() for line in cli.out.splitlines()]


def test_a_wrong_value_is_configuration_and_names_every_variable(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", "high")
    monkeypatch.setenv("LOG_LEVEL", "loud")
    assert cli("config") == 78
    assert [line.split(":")[1].strip() for line in cli.err.splitlines()] == ["PORT", "LOG_LEVEL"]


@pytest.mark.parametrize("environ", [{"K_SERVICE": "tai"}, {"JWT_KEYS": "missing.pem"}, {"STORE_URL": "oracle://x"}])
def test_serve_does_not_start_with_a_wrong_configuration(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert (cli("serve"), cli.out) == (78, "")


def test_dev_stays_on_loopback(cli: CommandLine) -> None:
    assert cli("serve", "--dev", "--host", "0.0.0.0") == 78
    assert "is not loopback" in cli.err


def test_the_greeting_quotes_what_a_shell_would_split() -> None:
    lines = greeting("http://127.0.0.1:1", Path("my data"), Path("my data/admin.token"))
    calls = [line for line in lines if line.startswith("curl")]
    assert len(calls) == 4
    assert all("$(cat 'my data/admin.token')" in call and "http://127.0.0.1:1/" in call for call in calls)
    assert any("TOKEN=" in line for line in greeting("http://127.0.0.1:1", Path("data"), None))


def test_a_good_plans_file_is_named_with_its_plans(cli: CommandLine) -> None:
    (cli.directory / "plans.yaml").write_text(PLANS)
    assert cli("plans", "check", "plans.yaml", "--json") == 0
    document = cli.documents[0]
    assert (document["valid"], document["plans"], len(document["digest"])) == (True, ["basic"], 64)
    assert cli("plans", "check", "plans.yaml") == 0
    assert cli.out.startswith("plans.yaml: good; plans basic; digest ")


def test_the_rules_of_a_good_plans_file_are_shown(cli: CommandLine) -> None:
    (cli.directory / "plans.yaml").write_bytes(shipped())
    assert cli("plans", "check", "plans.yaml") == 0
    heading, row = (line.split() for line in cli.out.splitlines()[1:])
    assert heading == ["plan", "rule", "mode", "action", "signal", "over", "act_when", "clear_when"]
    assert row[:5] == ["professional", "cpu-high", "shadow", "throttle", "cpu_utilization"]
    assert cli("plans", "check", "plans.yaml", "--json") == 0
    assert cli.documents[0]["rules"] == [
        {
            "plan": "professional",
            "rule": "cpu-high",
            "mode": "shadow",
            "action": "throttle",
            "signal": "cpu_utilization",
            "over": "3 samples",
            "act_when": "window.avg > 80.0",
            "clear_when": "window.avg < 50.0",
        }
    ]


def test_every_mistake_of_a_plans_file_is_named_with_its_line(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = PLANS.replace("rank: 1", "rank: x").replace("quotas: {}", "quota: {}")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(wrong.encode())))
    assert cli("plans", "check", "-", "--json") == 1
    assert not cli.documents[0]["valid"]
    assert [line.split(": ")[0] for line in cli.err.splitlines()] == ["standard input:3", "standard input:5"]
    assert cli("plans", "check", "missing.yaml") == 2


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("1h", 3600), ("7d", 604800)])
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1y", "-1h", "1.5h", "٣h", "1h30m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        seconds_of(text)


def test_a_minted_token_is_one_that_the_service_takes(cli: CommandLine) -> None:
    keys = first_start_key(cli.directory / "data")
    assert (
        cli("token", "mint", "--role", "viewer", "--role", "auditor", "--tenants", "acme, bob", "--subject", "me") == 0
    )
    verifier = TokenVerifier(keys, wiring.issuance(Settings.load({}).settings), wiring.SystemClock())
    caller = asyncio.run(verifier.verify(cli.out.strip()))
    assert (caller.subject, caller.roles, caller.tenants) == ("me", {"viewer", "auditor"}, {"acme", "bob"})
    assert cli("token", "mint", "--role", "admin", "--tenants", "*", "--json") == 0
    document = cli.documents[0]
    assert asyncio.run(verifier.verify(document["token"])).tenants is None
    assert (document["subject"], document["roles"], document["tenants"]) == ("operator", ["admin"], "*")


def test_a_token_can_be_kept_from_the_screen(cli: CommandLine) -> None:
    first_start_key(cli.directory / "data")
    file = cli.directory / "mine.token"
    file.write_text("older")
    file.chmod(0o644)
    assert cli("token", "mint", "--role", "viewer", "--tenants", "acme", "--output", file) == 0
    assert file.read_text().count(".") == 2
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().strip() not in cli.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("--role", "owner", "--tenants", "acme"),
        ("--role", "viewer", "--tenants", ""),
        ("--role", "viewer", "--tenants", "a/b"),
        ("--role", "viewer", "--tenants", "acme", "--ttl", "30d"),
        ("--role", "viewer", "--tenants", "acme", "--ttl", "0"),
        ("--role", "viewer", "--tenants", "acme", "--subject", "a b"),
        ("--tenants", "acme"),
    ],
)
def test_a_token_that_nobody_would_take_is_not_minted(cli: CommandLine, arguments: tuple[str, ...]) -> None:
    first_start_key(cli.directory / "data")
    assert (cli("token", "mint", *arguments), cli.out) == (2, "")


def test_no_key_is_made_that_a_service_would_not_know(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("token", "mint", "--role", "viewer", "--tenants", "acme") == 78
    assert not (cli.directory / "data").exists()
    jwks = cli.directory / "keys.json"
    key = next(iter(first_start_key(cli.directory / "other").public.values()))
    jwks.write_text(json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": key._jwk_data["x"]}]}))
    for name, value in {"JWT_KEYS": str(jwks), "JWT_ISSUER": "us", "JWT_AUDIENCE": "tai"}.items():
        monkeypatch.setenv(name, value)
    assert cli("token", "mint", "--role", "viewer", "--tenants", "acme") == 78
    assert "holds no private key" in cli.err


@pytest.fixture
def well(stored: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Nothing is wrong."""
    monkeypatch.setenv("PORT", "0")
    monkeypatch.setenv("TAI_METRICS_ADDRESS", "off")
    return stored


def answers(cli: CommandLine) -> dict[str, str]:
    return {each["check"]: each["answer"] for each in cli.documents[0]["checks"]}


def test_doctor_says_yes_to_what_is_sound(well: CommandLine) -> None:
    assert well("doctor", "--json") == 0
    assert answers(well) == dict.fromkeys(
        [
            "python",
            "configuration",
            "optional",
            "data directory",
            "keys",
            "plans",
            "store",
            "integrity",
            "clock",
            "port",
        ],
        "yes",
    )
    assert (well("doctor", "--quiet"), well.out, well.err) == (0, "", "")


def test_doctor_is_content_where_nothing_was_started_yet(well: CommandLine) -> None:
    assert well("doctor", "--data-dir", "fresh") == 0
    assert well.out.count("the first start makes it") == 3
    assert not (well.directory / "fresh").exists()


def test_doctor_ends_as_configuration_for_a_wrong_value(well: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "loud")
    assert well("doctor", "--json") == 78
    assert answers(well) == {"python": "yes", "configuration": "no"}


def test_doctor_cannot_tell_about_a_variable_that_nothing_reads(
    well: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAI_LANE_MAX", "1")
    assert well("doctor", "--json") == 2
    assert answers(well)["configuration"] == "?"


def test_doctor_finds_plans_and_keys_that_cannot_be_used(well: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    (well.directory / "plans.yaml").write_text("plans: 1\n")
    (well.directory / "keys.pem").write_text("nothing")
    wrong = {"PLANS_FILE": "plans.yaml", "JWT_KEYS": "keys.pem", "JWT_ISSUER": "us", "JWT_AUDIENCE": "tai"}
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    assert well("doctor", "--json") == 78
    assert (answers(well)["plans"], answers(well)["keys"]) == ("no", "no")


def test_doctor_asks_for_the_certificates_that_pushes_need(
    well: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with GoogleKeys(tmp_path) as google:
        for name, value in google.environ.items():
            monkeypatch.setenv(name, value)
        assert well("doctor", "--json") == 0
        found = {each["check"]: each["detail"] for each in well.documents[0]["checks"]}
        assert found["push keys"] == f"{google.url}: k1"
        google.status = 500
        assert well("doctor", "-q") == 69
        assert well.err == "push keys: status 500\n"
        monkeypatch.delitem(sys.modules, "tai_autonomics.identity.push_tokens", raising=False)
        monkeypatch.setitem(sys.modules, "google.auth", None)
        assert well("doctor", "-q") == 78
        assert "pip install 'tai-autonomics[gcp]'" in well.err


def test_doctor_finds_files_that_others_can_read_or_write(well: CommandLine) -> None:
    token = well.directory / "data" / "admin.token"
    token.write_text("x")
    token.chmod(0o644)
    assert well("doctor") == 1
    assert "admin.token can be read by others (mode 644): chmod 600" in well.out
    token.unlink()
    (well.directory / "data").chmod(0o777)
    assert well("doctor", "-q") == 1
    assert well.err == "data directory: data can be written by others (mode 777)\n"
    (well.directory / "file").touch()
    assert well("doctor", "--data-dir", "file/data", "--store", "sqlite:///data/tai.db") == 78


def test_doctor_finds_a_file_that_is_not_sound(well: CommandLine) -> None:
    change(well, "DELETE FROM receipts WHERE seq = 1")
    assert well("doctor") in (0, 1)
    database = well.directory / "data" / "tai.db"
    content = bytearray(database.read_bytes())
    content[4096 : 4096 + 512] = bytes(512)
    database.write_bytes(content)
    assert well("doctor") in (1, 69)
    (well.directory / "data" / "tai.db").write_text("not a database, whatever it is called" * 100)
    assert well("doctor", "--json") == 69
    assert answers(well)["store"] == "no"


def test_a_clock_behind_the_newest_receipt_seals_nothing() -> None:
    assert clock_is_plausible(None, 60).status is ExitStatus.YES
    assert clock_is_plausible("2020-01-01T00:00:00.000000Z", 60).status is ExitStatus.YES
    assert clock_is_plausible("9999-01-01T00:00:00.000000Z", 60).status is ExitStatus.WRONG


def test_a_port_is_free_held_by_the_service_or_taken() -> None:
    def looked_at(port: int, *, answering: bool) -> Finding:
        return port_is_free("metrics port", "127.0.0.1", port, setting="TAI_METRICS_ADDRESS", answering=answering)

    with socket.create_server(("127.0.0.1", 0)) as holding:
        port = holding.getsockname()[1]
        taken = looked_at(port, answering=False)
        assert taken.status is ExitStatus.WRONG
        assert taken.detail.endswith("; choose another by TAI_METRICS_ADDRESS")
        assert looked_at(port, answering=True).status is ExitStatus.YES
    assert looked_at(0, answering=False).status is ExitStatus.YES
