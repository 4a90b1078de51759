"""The wheel in an environment of its own, far from the repository: it serves, it stops, and it says what it lacks."""

import json
import re
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

import httpx
import pytest
from tests.engines.ports import free_port
from tests.packaging.artifacts import clean_environ

from tai_autonomics import __version__

pytestmark = pytest.mark.long

SECONDS_MAX = 60
HELP_SECONDS_MAX = 0.3
STOP_SECONDS_MAX = 8
LICENCES = re.compile(
    r"Apache|MIT|BSD|ISC|PSF|Python Software Foundation|Mozilla Public License 2\.0|MPL-2\.0"
    # psycopg, which is imported as it is and not changed.
    r"|LGPL-3\.0|GNU Lesser General Public License v3"
)


class Installed:
    """The installed programs, run in a directory that holds nothing else."""

    def __init__(self, programs: Path, directory: Path) -> None:
        self.directory = directory
        self.program = programs / "tai-autonomics"
        self.python = programs / "python"
        self.environ = {**clean_environ(directory), "TAI_METRICS_ADDRESS": "off"}

    def __call__(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *arguments],
            cwd=self.directory,
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )


@pytest.fixture
def installed(programs: Path, tmp_path: Path) -> Installed:
    return Installed(programs, tmp_path)


class Served:
    """`tai-autonomics serve --dev`, as a newcomer starts it."""

    def __init__(self, installed: Installed) -> None:
        self.output: list[str] = []
        self._lines: Queue[str | None] = Queue()
        self._process = subprocess.Popen(
            [installed.program, "serve", "--dev", "--port", str(free_port())],
            cwd=installed.directory,
            env=installed.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()
        found = re.search(r"http://\S+?(?=,)", self.line_with("Listening on "))
        assert found is not None
        self.url = found[0]
        self.token = (installed.directory / "data" / "admin.token").read_text().strip()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self.output.append(line)
                self._lines.put(line)
        self._lines.put(None)

    def line_with(self, text: str) -> str:
        while (line := self._next()) is not None:
            if text in line:
                return line
        self.kill()
        raise AssertionError(f"no line with {text!r}:\n{''.join(self.output)}")

    def _next(self) -> str | None:
        """None at the end, or when nothing comes any more."""
        with suppress(Empty):
            return self._lines.get(timeout=SECONDS_MAX)
        return None

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(STOP_SECONDS_MAX)
        self._reader.join(SECONDS_MAX)
        return status

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(SECONDS_MAX)
        self._reader.join(SECONDS_MAX)


@pytest.fixture
def served(installed: Installed) -> Iterator[Served]:
    serving = Served(installed)
    yield serving
    serving.kill()


def test_it_serves_and_stops_and_what_it_sealed_verifies(installed: Installed, served: Served) -> None:
    with httpx.Client(base_url=served.url, headers={"Authorization": f"Bearer {served.token}"}) as client:
        health = client.get("/health").json()
        openapi = client.get("/openapi.json").json()
        metrics = client.get("/metrics").text
        granted = client.post(
            "/marketplace",
            json={"tenant_id": "acme", "entitlement_id": "ent_1", "action": "grant", "plan": "professional"},
            headers={"Idempotency-Key": "first"},
        )
        checked = client.post("/v1/tenants/acme/check", json={"quota": "api_calls"})
    assert (health["status"], granted.status_code, checked.json()["allowed"]) == ("ok", 200, True)
    # The version is the one of the package, wherever it is said.
    assert {health["version"], openapi["info"]["version"]} == {__version__}
    assert f'version="{__version__}"' in metrics
    assert served.stop() == 0
    assert served.output[-1].rstrip().endswith("stopped")
    assert len([line for line in served.output if "Started server process" in line]) == 0
    exported = installed("receipts", "export", "-o", "receipts.jsonl")
    assert exported.returncode == 0, exported.stderr
    verified = installed("receipts", "verify", "receipts.jsonl")
    assert (verified.returncode, "acme" in verified.stdout) == (0, True), verified.stderr


def test_the_checklist_passes(installed: Installed, served: Served) -> None:
    token = installed.directory / "data" / "admin.token"
    # What a busy machine takes of each answer is none of the service's.
    done = installed("checklist", served.url, "--token-file", str(token), "--network-ms", "60")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "evidence" in done.stdout
    assert installed("checklist", served.url, "--token-file", "nowhere").returncode == 2


def test_nothing_but_the_wheel_and_the_locked_requirements_is_there(installed: Installed) -> None:
    code = """if True:
        import json, sys
        from importlib.metadata import distributions
        import tai_autonomics
        found = {each.metadata["Name"].lower().replace("_", "-"): each for each in distributions()}
        licences = {
            name: " ".join([
                each.metadata.get("License-Expression") or "",
                (each.metadata.get("License") or "")[:60],
                *(text for text in each.metadata.get_all("Classifier") or () if text.startswith("License ::")),
            ])
            for name, each in found.items()
        }
        print(json.dumps([tai_autonomics.__file__, {name: each.version for name, each in found.items()}, licences]))
    """
    done = subprocess.run(
        [installed.python, "-c", code],
        cwd=installed.directory,
        env=installed.environ,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=True,
    )
    place, versions, licences = json.loads(done.stdout)
    assert Path(place).is_relative_to(installed.python.parent.parent)
    assert versions["tai-autonomics"] == __version__
    assert not {"pip", "setuptools", "pytest", "opentelemetry-sdk", "google-auth", "grpcio"} & versions.keys()
    assert {name: text for name, text in licences.items() if not LICENCES.search(text)} == {}


def test_the_version_is_printed_by_both_ways_in(installed: Installed) -> None:
    module = subprocess.run(
        [installed.python, "-m", "tai_autonomics", "--version"],
        cwd=installed.directory,
        env=installed.environ,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=True,
    )
    assert installed("--version").stdout == module.stdout == f"tai-autonomics {__version__}\n"


def test_help_is_there_at_once(installed: Installed) -> None:
    """Of processor time, so that a busy machine is no failure; the first call writes the bytecode."""
    took = []
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert installed("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(took) < HELP_SECONDS_MAX, took


@pytest.mark.parametrize(
    ("arguments", "environ", "status", "said"),
    [
        (
            ("serve", "--dev", "--port", "0"),
            {"STORE_URL": "firestore://some-project", "FIRESTORE_EMULATOR_HOST": "127.0.0.1:9"},
            78,
            "STORE_URL: Firestore's client is not installed (No module named 'google'): "
            "pip install 'tai-autonomics[gcp]'",
        ),
        (
            ("serve", "--dev", "--port", "0"),
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"},
            78,
            "OTEL_EXPORTER_OTLP_ENDPOINT: OpenTelemetry is not installed (No module named 'opentelemetry'): "
            "pip install 'tai-autonomics[otel]'",
        ),
        (
            ("serve", "--dev", "--port", "0"),
            {"PUBSUB_PUSH_AUDIENCE": "https://tai.example/pubsub", "PUBSUB_PUSH_SERVICE_ACCOUNT": "push@p.example"},
            78,
            "PUBSUB_PUSH_AUDIENCE: google-auth is not installed (No module named 'google'): "
            "pip install 'tai-autonomics[gcp]'",
        ),
        (
            ("config",),
            {"STORE_URL": "gsm://projects/some-project/secrets/store"},
            78,
            "pip install 'tai-autonomics[gcp]'",
        ),
        (
            ("receipts", "verify"),
            {"STORE_URL": "postgresql://nobody@127.0.0.1:9/none"},
            69,
            "127.0.0.1",
        ),
    ],
)
def test_what_is_not_installed_or_not_there_is_one_line(
    installed: Installed, arguments: tuple[str, ...], environ: dict[str, str], status: int, said: str
) -> None:
    keys = {} if arguments[0] != "serve" or "STORE_URL" not in environ else own_keys(installed)
    done = installed(*arguments, **environ, **keys)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("tai-autonomics: ")]
    assert (done.returncode, len(lines)) == (status, 1), done.stdout + done.stderr
    assert said in lines[0]
    assert "Traceback" not in done.stdout + done.stderr


def own_keys(installed: Installed) -> dict[str, str]:
    """What a shared store asks for before it is opened."""
    code = (
        "from pathlib import Path; from tai_autonomics.identity.keys import first_start_key;"
        " first_start_key(Path('keys'))"
    )
    subprocess.run(
        [installed.python, "-c", code], cwd=installed.directory, env=installed.environ, timeout=SECONDS_MAX, check=True
    )
    return {"JWT_KEYS": "keys/signing-key.pem", "JWT_ISSUER": "us", "JWT_AUDIENCE": "tai"}
