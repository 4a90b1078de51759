"""What is shipped: whole, small, the same whoever builds it, and described as the indexes want it."""

import re
import subprocess
import tarfile
import zipfile
from email import message_from_bytes
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from tests.packaging.artifacts import ROOT, Artifacts, build, checked_out, committed_at
from trove_classifiers import classifiers

from tai_autonomics import __version__

pytestmark = pytest.mark.long

KIBIBYTE = 1024
WHEEL_BYTES_MAX = 800 * KIBIBYTE
SDIST_BYTES_MAX = 1024 * KIBIBYTE
FILE_BYTES_MAX = 600 * KIBIBYTE
"""No file of an artifact is larger: a lock file is the largest."""
APACHE_2_0 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
"""SHA-256 of https://www.apache.org/licenses/LICENSE-2.0.txt"""
SOURCES = frozenset(
    subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", "HEAD", "src/"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
)


def locked(file: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / "requirements" / file).read_text(), re.MULTILINE))


def test_the_backend_that_builds_is_the_locked_one() -> None:
    locked_for_tests = locked("dev.txt")
    assert {name: locked_for_tests.get(name) for name in locked("build.txt")} == locked("build.txt")
    assert version("hatchling") == locked("build.txt")["hatchling"]


def test_the_wheel_holds_the_package_and_nothing_else(built: Artifacts) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = {each.filename for each in wheel.infolist()}
        assert all(each.file_size <= FILE_BYTES_MAX for each in wheel.infolist())
    described = {f"tai_autonomics-{__version__}.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD")}
    described |= {f"tai_autonomics-{__version__}.dist-info/{name}" for name in ("entry_points.txt", "licenses/LICENSE")}
    assert names == {name.removeprefix("src/") for name in SOURCES} | described
    assert built.wheel.stat().st_size <= WHEEL_BYTES_MAX


def test_what_the_package_reads_at_run_time_is_in_the_wheel() -> None:
    read = {path for path in SOURCES if not path.endswith(".py")}
    assert "src/tai_autonomics/py.typed" in read
    assert "src/tai_autonomics/policy/plans.yaml" in read
    assert len([path for path in read if path.endswith(".sql")]) >= 7
    relative = re.compile(r"__file__|parents\[|\.\./")
    reaching_out = [path for path in SOURCES if path.endswith(".py") and relative.search((ROOT / path).read_text())]
    assert reaching_out == []


def test_the_sdist_holds_what_builds_the_wheel_and_what_tells_of_it(built: Artifacts) -> None:
    with tarfile.open(built.sdist) as sdist:
        members = sdist.getmembers()
    names = {each.name.partition("/")[2] for each in members}
    requirements = {f"requirements/{path.name}" for path in (ROOT / "requirements").iterdir()}
    told = {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml", ".gitignore", "PKG-INFO"}
    assert names == SOURCES | requirements | told
    assert all(each.isfile() and each.size <= FILE_BYTES_MAX for each in members)
    assert built.sdist.stat().st_size <= SDIST_BYTES_MAX


def test_two_builds_are_equal_byte_for_byte(built: Artifacts, tmp_path: Path) -> None:
    elsewhere = checked_out(tmp_path / "another place")
    for stray in ("data/admin.token", "src/tai_autonomics/__pycache__/x.pyc", "src/tai_autonomics/.env"):
        (elsewhere / stray).parent.mkdir(parents=True, exist_ok=True)
        (elsewhere / stray).write_text("not to be shipped")
    again = build(elsewhere, tmp_path / "dist", epoch=committed_at(), umask=0o077)
    assert again.digests() == built.digests()


def test_the_sdist_builds_the_same_wheel(built: Artifacts, tmp_path: Path) -> None:
    with tarfile.open(built.sdist) as sdist:
        sdist.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    again = build(tree, tmp_path / "dist", epoch=committed_at())
    assert again.digests() == built.digests()


def test_the_metadata_are_what_the_indexes_take(built: Artifacts) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        raw = wheel.read(f"tai_autonomics-{__version__}.dist-info/METADATA")
        licence = wheel.read(f"tai_autonomics-{__version__}.dist-info/licenses/LICENSE")
        points = wheel.read(f"tai_autonomics-{__version__}.dist-info/entry_points.txt").decode()
    said = Metadata.from_email(raw, validate=True)
    assert (said.name, str(said.version), str(said.requires_python)) == ("tai-autonomics", __version__, ">=3.11")
    assert (said.license_expression, said.license_files) == ("Apache-2.0", ["LICENSE"])
    assert sha256(licence).hexdigest() == APACHE_2_0
    assert set(said.classifiers or ()) <= classifiers
    assert said.description_content_type == "text/markdown"
    assert said.description == (ROOT / "README.md").read_text()
    assert set(said.provides_extra or ()) == {"gcp", "otel"}
    assert "tai-autonomics = tai_autonomics.__main__:main" in points
    with tarfile.open(built.sdist) as sdist:
        described = sdist.extractfile(f"tai_autonomics-{__version__}/PKG-INFO")
        assert described is not None
        assert described.read() == raw
    # No address of a project page is known, and none is made up.
    assert not {"Home-page", "Project-URL", "Author", "Author-email"} & set(message_from_bytes(raw).keys())


def test_what_the_wheel_requires_is_locked(built: Artifacts) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        raw = wheel.read(f"tai_autonomics-{__version__}.dist-info/METADATA")
    required = Metadata.from_email(raw).requires_dist or []
    for extra, file in (("", "run.txt"), ("otel", "otel.txt"), ("gcp", "gcp.txt")):
        pinned = locked(file)
        wanted = [each for each in required if each.marker is None or each.marker.evaluate({"extra": extra})]
        assert wanted
        assert [str(each) for each in wanted if not is_met(each, pinned)] == []


def is_met(requirement: Requirement, pinned: dict[str, str]) -> bool:
    name = requirement.name.lower().replace("_", "-")
    return name == "tai-autonomics" or requirement.specifier.contains(pinned.get(name, "0"), prereleases=True)


def test_the_version_has_one_place() -> None:
    """What else names a version of ours: the newest heading of the change log."""
    assert f'__version__ = "{__version__}"' in (ROOT / "src/tai_autonomics/__init__.py").read_text()
    others = [
        path
        for path in SOURCES
        if path.endswith(".py") and "__version__ =" in (ROOT / path).read_text() and not path.endswith("/__init__.py")
    ]
    assert others == []
    heading = re.search(r"^## (\S+?),? ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heading is not None
    assert heading[1] == __version__
