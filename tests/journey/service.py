"""A started service, for journeys: a real process, real HTTP, its data in a directory that outlives it."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from tests.journey.stores import environ_of
from tests.journey.tokens import own_keys

START_SECONDS_MAX = 30
STOP_SECONDS_MAX = 20


class Service:
    """Start it with `with`, or with `start` and `stop`; `kill` is kill -9, after which `start` begins anew."""

    def __init__(
        self,
        data_dir: Path,
        *arguments: str,
        environ: dict[str, str] | None = None,
        module: str = "tai_autonomics",
    ) -> None:
        self.data_dir = data_dir
        self.url = ""
        self.output: list[str] = []
        self._arguments = arguments
        self._environ = environ or {}
        self._module = module
        self._process: subprocess.Popen[str] | None = None
        self._ready = threading.Event()

    def start(self) -> Self:
        self._ready.clear()
        self.output.clear()
        command = [sys.executable, "-m", self._module, "serve", "--port", "0", "--host", "127.0.0.1"]
        self._process = subprocess.Popen(
            [*command, "--data-dir", str(self.data_dir), *self._arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**_outside(), "TAI_METRICS_ADDRESS": "off", **self._needed(), **self._environ},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._ready.wait(START_SECONDS_MAX) or not self.url:
            self.kill()
            raise AssertionError("the service did not start:\n" + "".join(self.output))
        return self

    def _needed(self) -> dict[str, str]:
        """The store, and for a shared one the keys that an embedded store's service makes by itself."""
        store = self._environ if "STORE_URL" in self._environ else environ_of(self.data_dir)
        if store["STORE_URL"].startswith("sqlite:") or "JWT_JWKS_URL" in self._environ:
            return store
        return {**store, **own_keys(self.data_dir)}

    def _read(self) -> None:
        """The first line that names a URL is the address that it listens on; everything is kept for failures."""
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self.output.append(line)
                found = re.search(r"http://127\.0\.0\.1:\d+", line)
                if found and not self._ready.is_set():
                    self.url = found[0]
                    self._ready.set()
        self._ready.set()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def admin_token(self) -> str:
        return (self.data_dir / "admin.token").read_text().strip()

    def client(self, token: str | None = None, **options: Any) -> httpx.Client:
        """A client with the admin's token, or with `token`; "" is none."""
        token = self.admin_token if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, **options)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone."""
        assert self._process is not None
        self._process.kill()
        self.wait()

    def wait(self) -> int:
        """Until the process is gone; the exit status."""
        assert self._process is not None
        status = self._process.wait(STOP_SECONDS_MAX)
        self._reader.join(STOP_SECONDS_MAX)
        return status

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()


def _outside() -> dict[str, str]:
    """The environment without what is said to the tests alone, of which the service would say that nothing reads it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TAI_TEST_")}
