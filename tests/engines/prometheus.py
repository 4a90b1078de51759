"""A real Prometheus that has watched for hours: history as OpenMetrics, made into its blocks by promtool."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
from tests.engines.absence import absent
from tests.engines.ports import free_port

START_SECONDS_MAX = 30
History = Mapping[str, Callable[[int], float | None]]
"""By series, labels and all: its value after so many seconds; None where it was not seen."""


def found(program: str) -> str:
    """Without it the test is skipped, or fails where every engine is required."""
    path = shutil.which(program)
    if path is None:
        absent(program, "apt-get install -y --no-install-recommends prometheus")
    return path


def exposition(history: History, *, end: int, seconds: int, step: int) -> str:
    lines = []
    families: dict[str, list[str]] = {}
    for series in history:
        families.setdefault(series.partition("{")[0], []).append(series)
    for family, members in families.items():
        lines.append(f"# TYPE {family} unknown")
        for series in members:
            for after in range(0, seconds + 1, step):
                if (value := history[series](after)) is not None:
                    lines.append(f"{series} {value!r} {end - seconds + after}")
    return "\n".join([*lines, "# EOF", ""])


@contextmanager
def watching(directory: Path, history: History, *, seconds: int, step: int = 120) -> Iterator[str]:
    """Its address, once it is ready."""
    prometheus, promtool = found("prometheus"), found("promtool")
    text, blocks = directory / "history.txt", directory / "blocks"
    text.write_text(exposition(history, end=int(time.time()), seconds=seconds, step=step))
    subprocess.run(
        [promtool, "tsdb", "create-blocks-from", "openmetrics", text, blocks],
        check=True,
        capture_output=True,
        timeout=100,
    )
    (directory / "prometheus.yml").write_text("scrape_configs: []\n")
    address = f"127.0.0.1:{free_port()}"
    options = [
        f"--config.file={directory}/prometheus.yml",
        f"--storage.tsdb.path={blocks}",
        f"--web.listen-address={address}",
        "--log.level=error",
    ]
    with subprocess.Popen([prometheus, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_ready(f"http://{address}", process)
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(START_SECONDS_MAX)


def _wait_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(f"{url}/-/ready", timeout=1).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    raise AssertionError("Prometheus did not get ready")
