"""The image holds what the service needs, and nothing that builds, installs, tests or should not be known."""

import re
from pathlib import PurePosixPath
from typing import Final

import pytest
from tests.engines.containers import ROOT, health_check, image, said
from tests.journey.image.contents import entries

pytestmark = [pytest.mark.embedded, pytest.mark.long]

SIZE_MAX: Final = 350_000_000
"""Bytes; the README states about how many it is."""
BUILDS: Final = re.compile(r"(.+-)?(cc|gcc|g\+\+|c\+\+|cpp|clang|ld|as|make|cmake|cargo|rustc|go|tcc|bazel)(-[\d.]+)?")
INSTALLS: Final = re.compile(r"(pip|setuptools|ensurepip|wheel|pkg_resources|python-wheels|hatchling)([-._]?[\d.].*)?")
TESTS: Final = re.compile(r"tests?|conftest\.py|test_.+\.py|.+_test\.py")
SECRET: Final = re.compile(
    r"\.env.*|\.git|\.netrc|\.pypirc|pip\.conf|id_[a-z0-9]+|.+\.key|credentials.*\.json|.+\.token"
)


NO_TEST: Final = "test_attributes.py"
"""Of OpenTelemetry: the names of attributes that say something about tests."""


def in_python(path: PurePosixPath) -> bool:
    return any(part.startswith("python3") or part == "tai-autonomics" for part in path.parts)


def paths(pattern: re.Pattern[str]) -> list[PurePosixPath]:
    """Whose last name is like that."""
    return [each.path for each in entries() if pattern.fullmatch(each.path.name)]


def test_its_size_is_bounded() -> None:
    size = sum(each.size for each in entries())
    print(f"the image's files: {size / 1e6:.0f} MB")
    assert 50_000_000 < size < SIZE_MAX


def test_it_holds_no_compiler() -> None:
    assert [path for path in paths(BUILDS) if path.parent.name in ("bin", "sbin", "libexec")] == []


def test_it_holds_nothing_that_installs_python_packages() -> None:
    assert [path for path in paths(INSTALLS) if in_python(path) or "bin" in path.parts] == []


def test_it_holds_no_tests() -> None:
    assert [path for path in paths(TESTS) if in_python(path) and path.name != NO_TEST] == []


def test_it_holds_no_secret() -> None:
    assert paths(SECRET) == []
    assert [each.path for each in entries() if each.holds_key] == []
    assert [each.path for each in entries() if each.path.is_relative_to("/data") and each.is_file] == []
    variables = dict(each.split("=", 1) for each in image()["Config"]["Env"])
    assert variables.keys() == {"PATH", "LANG", "PYTHONDONTWRITEBYTECODE", "TAI_DATA_DIR"}


def test_nothing_in_it_gives_another_users_rights() -> None:
    assert [each.path for each in entries() if each.is_file and each.mode & 0o6000] == []


def test_every_module_of_the_service_is_compiled() -> None:
    found = {each.path for each in entries()}
    sources = [path for path in found if path.suffix == ".py" and "tai_autonomics" in path.parts]
    assert len(sources) == len([*(ROOT / "src").rglob("*.py")])
    assert [each for each in sources if each.parent / "__pycache__" / f"{each.stem}.cpython-311.pyc" not in found] == []


def test_it_says_what_it_is_and_how_it_is_run() -> None:
    config = image()["Config"]
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert labels["licenses"] == "Apache-2.0"
    assert labels["title"] == "tai-autonomics"
    assert labels["version"] in (ROOT / "src/tai_autonomics/__init__.py").read_text()
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", labels["revision"])
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["/opt/tai-autonomics/bin/tai-autonomics"]
    assert config["Cmd"] == ["serve"]
    assert config["Volumes"] == {"/data": {}}
    assert config["ExposedPorts"] == {"8080/tcp": {}}
    assert health_check()[0] == "/opt/tai-autonomics/bin/python", "no shell stands before it"


def test_every_library_that_a_setting_may_ask_for_is_there() -> None:
    modules = (
        "cel_expr_python.cel",
        "google.cloud.firestore_v1",
        "google.cloud.pubsub_v1",
        "google.cloud.run_v2",
        "google.cloud.secretmanager_v1",
        "opentelemetry.exporter.otlp.proto.http.trace_exporter",
        "psycopg_pool",
    )
    script = f"import sys, {', '.join(modules)}; print(sys.flags.dont_write_bytecode, *sys.version_info[:2])"
    assert said("run", "--rm", "--read-only", "--entrypoint=python", image()["Id"], "-c", script) == "1 3 11"
