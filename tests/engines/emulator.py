"""Google's emulators: each a Java process of the Cloud SDK on a free port."""

import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from os import environ, getpid
from pathlib import Path
from typing import ClassVar, Self

from tests.engines.absence import absent
from tests.engines.ports import free_port

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 20

REMEDY_JAVA = "apt-get install --no-install-recommends default-jre-headless"

_projects = count()


def new_project() -> str:
    """A project id that no test had before: nothing of another test is in it."""
    return f"test-{getpid()}-{next(_projects)}"


@cache
def jar(engine: str, *, variable: str, pattern: str, component: str) -> Path:
    """Where the variable says, or in the Cloud SDK; ends the test where there is none."""
    package = f"google-cloud-cli-{component.removeprefix('cloud-')}"
    remedy = f"gcloud components install {component} (or apt-get install {package})"
    if shutil.which("java") is None:
        absent(engine, REMEDY_JAVA)
    if named := environ.get(variable):
        found = [Path(named)]
    elif gcloud := shutil.which("gcloud"):
        root = subprocess.run(
            [gcloud, "info", "--format=value(installation.sdk_root)"], capture_output=True, text=True, timeout=60
        ).stdout.strip()
        found = sorted(Path(root).glob(pattern))
    else:
        absent(engine, remedy)
    if not found or not found[-1].exists():
        absent(engine, remedy)
    return found[-1]


class Emulator:
    """`kill` is kill -9; everything is in its memory, so `start` after it begins with an empty one."""

    engine: ClassVar[str]

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """The program and what comes before its host and port."""
        raise NotImplementedError

    def start(self) -> Self:
        command = self.command()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        self._process = subprocess.Popen(
            [*command, "--host=127.0.0.1", f"--port={self.port}"],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        end = time.monotonic() + START_SECONDS_MAX
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self._log.seek(0)
                output = self._log.read().decode(errors="replace")
                self.kill()
                raise AssertionError(f"{self.engine} did not start:\n{output}")
            time.sleep(0.05)
        return self

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_SECONDS_MAX)
            self._end()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS_MAX)
            self._end()

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """It answers nothing meanwhile, and then all that it was asked."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _end(self) -> None:
        self._process = None
        self._log.close()
