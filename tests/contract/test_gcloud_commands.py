"""
Every gcloud command that the documents and the checklist show is one that gcloud has, with its options.

gcloud's own list of them is a file that its shell completion reads; nothing is called.
"""

import re
import runpy
import shlex
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.engines.absence import absent

ROOT = Path(__file__).parents[2]
CHECKLIST = ROOT / "src" / "tai_autonomics" / "cli" / "checklist" / "cloud.py"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "deploy" / "README.md", CHECKLIST])
CALL = re.compile(r"(?:^|[\s`(|])gcloud ((?:alpha |beta )?[a-z][^`\n|>)]*)", re.MULTILINE)
GONE = {"container images list-tags", "run delete", "trace list", "monitoring metrics-descriptors list"}
"""Those of the production checklist that do not work; the first is there, for another registry."""


@cache
def tree() -> dict[str, Any]:
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        absent("gcloud", "apt-get install google-cloud-cli, from Google's own archive")
    root = subprocess.run(
        [gcloud, "info", "--format=value(installation.sdk_root)"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.strip()
    found: dict[str, Any] = runpy.run_path(f"{root}/data/cli/gcloud_completions.py")["STATIC_COMPLETION_CLI_TREE"]
    return found


def calls_in(text: str) -> list[list[str]]:
    """Of the lines of a document, with what continues them, each call's words; a comment ends it."""
    text = re.sub(r"'[^'\n]*\([^'\n]*'", "X", re.sub(r"\s*\\\n\s*", " ", text))
    calls = [re.split(r"\s{2,}|\s#", call)[0].strip() for call in CALL.findall(text)]
    return [shlex.split(re.sub(r"\$\([^ ]*", "X", call).replace("'", "")) for call in calls]


def wrong_with(words: list[str]) -> str:
    """What gcloud does not take of a call; "" where it takes it."""
    node, rest = tree(), list(words)
    while rest and rest[0] in node.get("commands", {}):
        node = node["commands"][rest.pop(0)]
    if rest and not rest[0].startswith("-") and node.get("commands"):
        return f"no command {rest[0]}"
    flags = {*node["flags"], *tree()["flags"]}
    named = [each.partition("=")[0] for each in rest if each.startswith("--")]
    return " ".join(each for each in named if each not in flags and each.replace("--no-", "--", 1) not in flags)


SHOWN = [(document.name, words) for document in DOCUMENTS for words in calls_in(document.read_text())]


def test_calls_are_found() -> None:
    assert len([words for name, words in SHOWN if name == "GCP_DEPLOYMENT.md"]) > 30
    assert len([words for name, words in SHOWN if name == CHECKLIST.name]) > 5


@pytest.mark.parametrize(("document", "words"), SHOWN, ids=[f"{name}: {' '.join(words)}" for name, words in SHOWN])
def test_a_command_that_a_document_shows_is_one_of_gcloud(document: str, words: list[str]) -> None:
    if " ".join(words) not in GONE:
        assert wrong_with(words) == ""


def test_the_commands_that_do_not_work_are_not_there() -> None:
    assert {" ".join(words) for _, words in SHOWN} >= GONE
    assert {call for call in GONE if wrong_with(call.split())} == GONE - {"container images list-tags"}


def test_an_option_that_gcloud_lacks_is_seen() -> None:
    assert wrong_with(["run", "services", "delete", "tai-autonomics", "--hurry"]) == "--hurry"
