"""Built and installed once a run, whichever worker asks first."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.packaging.artifacts import Artifacts, build, checked_out, committed_at, install


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One directory for all workers of a run."""
    base = tmp_path_factory.getbasetemp()
    directory = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "packaging"
    directory.mkdir(exist_ok=True)
    return directory


@contextmanager
def once(directory: Path, name: str) -> Iterator[Callable[[], bool]]:
    """Whoever is first finds it not done and does it; the others wait."""
    done = directory / f"{name}.done"
    with (directory / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield done.exists
        done.touch()


@pytest.fixture(scope="session")
def built(shared: Path) -> Artifacts:
    out = shared / "dist"
    with once(shared, "build") as is_done:
        if not is_done():
            build(checked_out(shared / "clone"), out, epoch=committed_at())
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return Artifacts(sdist, wheel)


@pytest.fixture(scope="session")
def programs(shared: Path, built: Artifacts) -> Path:
    """The directory of the programs of an environment that holds the wheel, far from the repository."""
    with once(shared, "install") as is_done:
        return shared / "environment" / "bin" if is_done() else install(built.wheel, shared)
