"""The image, and containers of it, by the docker or podman that is here."""

import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn, Self

import httpx
import pytest
from tests.engines.ports import free_port

ROOT: Final = Path(__file__).parents[2]
IMAGE: Final = os.environ.get("TAI_IMAGE", "tai-autonomics:latest")
START_SECONDS_MAX: Final = 20
CALL_SECONDS_MAX: Final = 60
POLL_SECONDS: Final = 0.005

DIGEST: Final = """
import hashlib, pathlib, tai_autonomics
root = pathlib.Path(tai_autonomics.__file__).parent
digest = hashlib.sha256()
for path in sorted(each for each in root.rglob("*") if each.is_file() and each.suffix != ".pyc"):
    digest.update(str(path.relative_to(root)).encode() + b"\\0" + path.read_bytes())
print(digest.hexdigest())
"""
"""What the package is, file by file; run here and in the image."""


def absent(what: str) -> NoReturn:
    """Skip with what brings it; with REQUIRE_IMAGE set, fail. CI does not set it: CONTRIBUTING says why."""
    message = f"{what}. To get it: make image"
    if os.environ.get("REQUIRE_IMAGE"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def engine() -> str:
    """The program; ends the test where there is none."""
    return _engine() or absent("neither docker with its daemon nor podman is on this machine")


@cache
def _engine() -> str | None:
    programs = [each for each in ("docker", "podman") if shutil.which(each)]
    return next((each for each in programs if _done(each, "info").returncode == 0), None)


def _done(program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environ = dict(os.environ)
    if sys.platform == "linux" and not Path("/run/systemd/system").exists():
        environ.setdefault("CONTAINERS_CONF", str(ROOT / "container" / "sandbox.conf"))
    return subprocess.run(
        [program, *arguments], capture_output=True, timeout=CALL_SECONDS_MAX, env=environ, check=False
    )


def asked(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """What the engine does and says."""
    return _done(engine(), *arguments)


def said(*arguments: str) -> str:
    """Raises AssertionError where the engine fails."""
    done = asked(*arguments)
    assert done.returncode == 0, (arguments, done.stderr.decode(), done.stdout.decode())
    return done.stdout.decode().strip()


def run(*arguments: str, options: Sequence[str] = ()) -> subprocess.CompletedProcess[bytes]:
    """One command of the program, in a container that is gone afterwards."""
    return asked("run", "--rm", *options, IMAGE, *arguments)


def image() -> Mapping[str, Any]:
    """What the engine says of the image; ends the test where there is none, or one of another checkout."""
    engine()
    found = _image()
    return absent(found) if isinstance(found, str) else found


@cache
def _image() -> Mapping[str, Any] | str:
    """That, or why there is none."""
    found = asked("image", "inspect", IMAGE)
    if found.returncode:
        return f"the image {IMAGE} is not on this machine"
    here = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True).stdout.strip()
    if said("run", "--rm", "--entrypoint=python", IMAGE, "-c", DIGEST) != here:
        return f"the image {IMAGE} is of another checkout than this"
    inspected: Mapping[str, Any] = json.loads(found.stdout)[0]
    return inspected


def health_check() -> Sequence[str]:
    """The image's own, as a command."""
    check = image()["Config"].get("Healthcheck") or image()["Healthcheck"]
    kind, *command = check["Test"]
    assert kind == "CMD"
    return command


def answers(port: int, *, within_seconds: float) -> None:
    """Returns once /health is 200 there. Raises AssertionError when it is late."""
    end = time.monotonic() + within_seconds
    while not _healthy(port):
        assert time.monotonic() < end, f"no 200 on port {port} within {within_seconds} s"
        time.sleep(POLL_SECONDS)


def _healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class Container:
    """
    A started service, stopped and removed at the end of `with`.

    Its port is published on a free one of loopback; with `on_host`, it listens there itself, in the machine's network.
    """

    def __init__(self, *options: str, on_host: bool = False, environ: Mapping[str, str] | None = None) -> None:
        image()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start_seconds = 0.0
        inside = {"PORT": str(self.port), "HOST": "127.0.0.1", "TAI_METRICS_ADDRESS": "off"} if on_host else {}
        network = ["--network=host"] if on_host else [f"--publish=127.0.0.1:{self.port}:8080"]
        settings = [f"--env={name}={value}" for name, value in {**inside, **(environ or {})}.items()]
        self.name = said("create", *network, *settings, *options, IMAGE)

    def __enter__(self) -> Self:
        said("start", self.name)
        began = datetime.fromisoformat(self.state()["StartedAt"]).timestamp()
        try:
            answers(self.port, within_seconds=START_SECONDS_MAX)
        except AssertionError as error:
            log = self.log()
            self.remove()
            raise AssertionError(f"the container did not start:\n{log}") from error
        self.start_seconds = time.time() - began
        return self

    def state(self) -> Mapping[str, Any]:
        state: Mapping[str, Any] = json.loads(said("container", "inspect", self.name))[0]["State"]
        return state

    def log(self) -> str:
        done = asked("logs", self.name)
        return (done.stdout + done.stderr).decode()

    def executed(self, *command: str) -> subprocess.CompletedProcess[bytes]:
        return asked("exec", self.name, *command)

    def output(self, *command: str) -> str:
        """Of a command within; raises AssertionError where it fails."""
        return said("exec", self.name, *command)

    def client(self, token: str | None = None) -> httpx.Client:
        """With the admin's token, or with `token`; "" is none."""
        token = self.output("cat", "/data/admin.token") if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def stop(self) -> float:
        """SIGTERM; the seconds until the process is gone. It has twenty, before SIGKILL."""
        began = time.monotonic()
        said("stop", "-t", "20", self.name)
        return time.monotonic() - began

    def remove(self) -> None:
        asked("rm", "--force", "--volumes", self.name)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.remove()
