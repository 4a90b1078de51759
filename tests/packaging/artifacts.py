"""The sdist and the wheel of HEAD, and an environment that holds the wheel and the locked requirements alone."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 120


class Artifacts(NamedTuple):
    sdist: Path
    wheel: Path

    def digests(self) -> list[str]:
        return [sha256(each.read_bytes()).hexdigest() for each in self]


def clean_environ(directory: Path) -> dict[str, str]:
    """Nothing of this project, of its tests or of its user reaches a process with it; where pip finds packages does."""
    kept = ("LANG", "LC_ALL", "PATH", "SSL_CERT_FILE", "TMPDIR")
    pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name.endswith("_proxy")}
    return {**{name: os.environ[name] for name in kept if name in os.environ}, **pip, "HOME": str(directory)}


def checked_out(directory: Path) -> Path:
    """The files of HEAD, as a clean clone has them."""
    directory.mkdir(parents=True)
    archive = subprocess.run(
        ["git", "archive", "--format=tar", "HEAD"], cwd=ROOT, capture_output=True, timeout=SECONDS_MAX, check=True
    )
    subprocess.run(["tar", "-x"], cwd=directory, input=archive.stdout, timeout=SECONDS_MAX, check=True)
    return directory


def committed_at() -> str:
    """Seconds since 1970, as SOURCE_DATE_EPOCH has them."""
    log = ["git", "log", "-1", "--format=%ct"]
    return subprocess.run(log, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS_MAX, check=True).stdout.strip()


def build(tree: Path, out: Path, *, epoch: str, umask: int = -1) -> Artifacts:
    """By the locked build backend, which pip would ask too."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(out)],
        cwd=tree,
        env={**clean_environ(out), "SOURCE_DATE_EPOCH": epoch},
        capture_output=True,
        timeout=SECONDS_MAX,
        check=True,
        umask=umask,
    )
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return Artifacts(sdist, wheel)


def install(wheel: Path, directory: Path) -> Path:
    """The directory of its programs. pip is not among them: it works from outside."""
    environment = directory / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], timeout=SECONDS_MAX, check=True)
    pip = [sys.executable, "-m", "pip", "--python", environment / "bin" / "python", "install", "--quiet"]
    options = ["--disable-pip-version-check", "--no-compile", "--no-deps"]
    locked = ["--require-hashes", "--requirement", ROOT / "requirements" / "run.txt"]
    for what in (locked, [wheel]):
        subprocess.run([*pip, *options, *what], cwd=directory, timeout=SECONDS_MAX, check=True)
    return environment / "bin"
