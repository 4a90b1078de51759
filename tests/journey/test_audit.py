"""An audit bundle of a running service's tenant: whole, signed, and whatever is changed in it is found."""

import json
import shutil
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest
from tests.journey.callers import token
from tests.journey.service import Service
from tests.journey.stores import environ_of
from tests.journey.test_command_line import tai
from tests.unit.cli.exports import exported as written
from tests.unit.cli.exports import ledger

from tai_autonomics.cli import unbundling
from tai_autonomics.errors import BrokenBundle, BrokenChain
from tai_autonomics.identity.keys import Keys, load_keys
from tai_autonomics.identity.tokens import TYPES
from tai_autonomics.ledger.chain import verify
from tai_autonomics.policy.file import shipped

GRANT: Final = {"tenant_id": "acme", "entitlement_id": "ent_1", "action": "grant", "plan": "enterprise"}
VERIFY: Final = {"tenant_id": "acme", "entitlement_id": "ent_1"}


class Bundled:
    """A bundle of the receipts 3 to 5 of 7, where it came from, and the receipt that says so."""

    def __init__(self, directory: Path, data_dir: Path, service: Service) -> None:
        self.directory, self.data_dir = directory, data_dir
        self.receipts: list[dict[str, Any]] = []
        self.newest: dict[str, Any] = {}
        (data_dir / "eve.token").write_text(token(service, "auditor", subject="eve"))
        self.as_eve = ("--url", service.url, "--token-file", data_dir / "eve.token")

    @property
    def head(self) -> str:
        hash_: str = self.receipts[-1]["hash"]
        return hash_

    @property
    def keys(self) -> Keys:
        return load_keys(self.data_dir / "signing-key.pem")

    def audit(self, *arguments: str | Path) -> Any:
        return tai("audit", *arguments, "--data-dir", self.data_dir, **environ_of(self.data_dir))

    def export(self, directory: Path, *arguments: str) -> Any:
        """As the auditor eve, whose token the running service knows."""
        return self.audit("export", "acme", "-o", directory, *arguments, *self.as_eve)


def later_than(moment: str) -> str:
    """Until the clock shows a later microsecond, which is at once."""
    while (now := time.time_ns() // 1_000) <= _micros(moment):
        pass
    return moment_of(now)


def _micros(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1_000_000)


def moment_of(micros: int) -> str:
    return datetime.fromtimestamp(micros / 1_000_000, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundled]:
    """Made beside the running service."""
    data_dir, directory = tmp_path_factory.mktemp("audited"), tmp_path_factory.mktemp("bundles") / "acme"
    with Service(data_dir) as service, service.client() as client:
        bundled = Bundled(directory, data_dir, service)

        def decided(**members: Any) -> None:
            answer = client.post("/marketplace", json={**VERIFY, **members})
            assert answer.status_code == 200, answer.text
            bundled.receipts.append(answer.json())

        decided(**GRANT)
        decided()
        since = later_than(bundled.receipts[-1]["receipt"]["time"])
        for _ in range(3):
            decided(metadata={"who": "Zoë"})
        until = later_than(bundled.receipts[-1]["receipt"]["time"])
        for _ in range(2):
            decided(metadata={"who": "Ada"})
        done = bundled.export(directory, "--since", since, "--until", until, "--reason", "yearly")
        assert (done.returncode, done.stderr) == (0, "")
        assert f"3 receipts of acme since {since}, head 7 {bundled.head}; signed by " in done.stdout
        bundled.newest = client.get("/v1/tenants/acme/receipts/head").json()
        assert f"that it was taken is the receipt {bundled.newest['hash']}" in done.stdout
        yield bundled


def test_a_bundle_holds_the_period_what_links_it_to_the_head_and_the_plans_by_digest(made: Bundled) -> None:
    def seqs(name: str) -> list[int]:
        return [json.loads(line)["receipt"]["seq"] for line in (made.directory / name).read_bytes().splitlines()]

    assert [seqs(name) for name in ("before.jsonl", "receipts.jsonl", "later.jsonl")] == [[2], [3, 4, 5], [6, 7]]
    digest = made.receipts[0]["receipt"]["policy"]
    assert (made.directory / "plans" / f"{digest}.yaml").read_bytes() == shipped()
    said = json.loads((made.directory / "verification.json").read_text())
    assert said["verified"] == {"from": 1, "to": 7, "receipts": 7}
    assert (said["head"]["hash"], said["period"]) == (made.head, {"first": 3, "last": 5, "receipts": 3})
    assert "Zoë" in (made.directory / "receipts.jsonl").read_text()
    assert b"Ada" not in (made.directory / "later.jsonl").read_bytes(), "parts outside of the period stay at home"
    manifest = json.loads((made.directory / "manifest.json").read_text())
    for name, listed in manifest["files"].items():
        text = (made.directory / name).read_bytes()
        assert listed == {"sha256": sha256(text).hexdigest(), "bytes": len(text)}
    assert {each.stat().st_mode & 0o077 for each in made.directory.rglob("*")} == {0}


def test_that_it_was_taken_is_sealed_with_who_took_it_and_of_what(made: Bundled) -> None:
    receipt = made.newest["receipt"]
    manifest = (made.directory / "manifest.json").read_bytes()
    said = json.loads(manifest)
    assert (receipt["seq"], receipt["prev"], receipt["cause"]["by"]) == (8, made.head, "eve")
    assert receipt["events"] == [
        {
            "type": "AuditExported",
            "since": said["since"],
            "until": said["until"],
            "receipts": 3,
            "head_seq": 7,
            "head_hash": made.head,
            "manifest_digest": sha256(manifest).hexdigest(),
        }
    ]
    assert json.loads(made.newest["parts"]["reason"]["text"]) == "yearly"


@pytest.mark.embedded
def test_beside_a_service_nothing_is_taken_that_the_service_is_not_told(made: Bundled, tmp_path: Path) -> None:
    """Neither by who does not say --url where one process holds the store, nor by who may not say it."""
    untold = made.audit("export", "acme", "--since", "1d", "-o", tmp_path / "untold")
    assert (untold.returncode, "--url URL --token-file FILE" in untold.stderr) == (69, True)
    (tmp_path / "bad.token").write_text("nobody")
    bad = ("--url", made.as_eve[1], "--token-file", tmp_path / "bad.token")
    unknown = made.audit("export", "acme", "--since", "1d", "-o", tmp_path / "unknown", *bad)
    assert (unknown.returncode, "unauthenticated" in unknown.stderr) == (2, True), unknown.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["bad.token"]


def test_a_bundle_verifies_by_the_services_key_or_a_trusted_head_and_else_nobody_can_tell(
    made: Bundled, tmp_path: Path
) -> None:
    good = made.audit("verify", made.directory)
    assert (good.returncode, good.stderr) == (0, "")
    assert "signed by " in good.stdout
    elsewhere = ("--data-dir", tmp_path / "none")
    keys = ("--keys", made.data_dir / "signing-key.pem")
    assert tai("audit", "verify", made.directory, *keys, *elsewhere).returncode == 0
    unknown = tai("audit", "verify", made.directory, *elsewhere)
    assert (unknown.returncode, "its signature was not verified" in unknown.stdout) == (2, True)
    assert tai("audit", "verify", made.directory, "--head", made.head, *elsewhere).returncode == 0
    wrong = tai("audit", "verify", made.directory, "--head", "0" * 64, *elsewhere)
    assert (wrong.returncode, "the trusted head is 000" in wrong.stderr) == (1, True)
    with Service(tmp_path / "other"):
        pass
    stranger = tai("audit", "verify", made.directory, "--data-dir", tmp_path / "other")
    assert (stranger.returncode, "no key has this kid" in stranger.stderr) == (1, True)


def changed(file: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        text = (directory / file).read_bytes()
        assert old in text
        (directory / file).write_bytes(text.replace(old, new, 1))

    return change


def relisted(change: Callable[[Path], None]) -> Callable[[Path], None]:
    """The same by one who writes a manifest that fits, and takes the signature away."""

    def both(directory: Path) -> None:
        change(directory)
        manifest = json.loads((directory / "manifest.json").read_text())
        names = [each.relative_to(directory).as_posix() for each in directory.rglob("*") if each.is_file()]
        for name in {*names} - {"manifest.json", "manifest.jws"}:
            text = (directory / name).read_bytes()
            manifest["files"][name] = {"sha256": sha256(text).hexdigest(), "bytes": len(text)}
        for name in [*manifest["files"]]:
            if name not in names:
                del manifest["files"][name]
        manifest["receipts"] = len((directory / "receipts.jsonl").read_bytes().splitlines())
        (directory / "manifest.json").write_text(json.dumps(manifest))
        (directory / "manifest.jws").unlink()

    return both


def without_line(file: str, at: int) -> Callable[[Path], None]:
    def cut(directory: Path) -> None:
        lines = (directory / file).read_bytes().splitlines(keepends=True)
        del lines[at]
        (directory / file).write_bytes(b"".join(lines))

    return cut


def moved(source: str, at: int, into: str, to: int) -> Callable[[Path], None]:
    def move(directory: Path) -> None:
        lines = (directory / source).read_bytes().splitlines(keepends=True)
        there = (directory / into).read_bytes().splitlines(keepends=True)
        there.insert(len(there) if to < 0 else to, lines.pop(at))
        (directory / source).write_bytes(b"".join(lines))
        (directory / into).write_bytes(b"".join(there))

    return move


def other_plans(directory: Path) -> None:
    (file,) = (directory / "plans").iterdir()
    file.write_bytes(file.read_bytes() + b"# better\n")


def no_plans(directory: Path) -> None:
    shutil.rmtree(directory / "plans")


def linked(directory: Path) -> None:
    text = (directory / "later.jsonl").read_bytes()
    (directory / "later.jsonl").unlink()
    (directory.parent / "later").write_bytes(text)
    (directory / "later.jsonl").symlink_to(directory.parent / "later")


FLAWS: Final[dict[str, tuple[Callable[[Path], None], str]]] = {
    "a receipt": (changed("receipts.jsonl", b'"ent_1"', b'"ent_2"'), "is not the file that the manifest lists"),
    "a part": (changed("receipts.jsonl", "Zoë".encode(), b"Zo\xc3\xa8"), "is not the file that the manifest lists"),
    "the manifest": (changed("manifest.json", b'"made_by": "tai', b'"made_by": "our'), "the signature does not verify"),
    "another file": (lambda directory: (directory / "x").write_bytes(b""), "x is not in the manifest"),
    "a missing file": (lambda directory: (directory / "later.jsonl").unlink(), "later.jsonl is missing"),
    "a link": (linked, "later.jsonl is a link"),
    "a path": (changed("manifest.json", b'"before.jsonl"', b'"../../before"'), "no bundle has a file '../../before'"),
    "no manifest": (lambda directory: (directory / "manifest.json").write_text("{}"), "manifest.json: "),
    "a signature": (changed("manifest.jws", b"..", b".e30."), "it is no detached signature"),
    "a receipt, relisted": (relisted(changed("receipts.jsonl", b'"ent_1"', b'"ent_2"')), "step 4"),
    "a part, relisted": (relisted(changed("receipts.jsonl", "Zoë".encode(), b"Zo\xc3\xa8")), "step 7"),
    "a receipt cut out": (relisted(without_line("receipts.jsonl", 1)), "step 3"),
    "the first receipt cut off": (relisted(without_line("receipts.jsonl", 0)), "step 3"),
    "a tail cut off": (relisted(without_line("later.jsonl", 1)), "step 8"),
    "a period that begins later": (relisted(moved("receipts.jsonl", 0, "before.jsonl", -1)), "outside of its period"),
    "a period that ends sooner": (relisted(moved("receipts.jsonl", 2, "later.jsonl", 0)), "outside of its period"),
    "no receipt before": (relisted(without_line("before.jsonl", 0)), "the ledger's beginning is missing"),
    "other plans": (relisted(other_plans), "is another plans file than its name says"),
    "plans left out": (relisted(no_plans), "is missing, or listed as missing and not"),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_whatever_is_changed_in_a_bundle_is_found(made: Bundled, tmp_path: Path, flaw: str) -> None:
    change, said = FLAWS[flaw]
    copy = shutil.copytree(made.directory, tmp_path / "bundle")
    assert unbundling.check(copy, made.keys, made.head).signed_by is not None
    change(copy)
    with pytest.raises((BrokenBundle, BrokenChain)) as caught:
        unbundling.check(copy, made.keys, made.head)
    assert said in str(caught.value)


def test_a_bundle_up_to_the_newest_receipt_needs_nothing_after_it(made: Bundled, tmp_path: Path) -> None:
    done = made.export(tmp_path / "all", "--since", "1d", "--json")
    assert done.returncode == 0, done.stderr
    head = json.loads(done.stdout)["manifest"]["head"]
    assert (tmp_path / "all" / "before.jsonl").read_bytes() == b""
    assert (tmp_path / "all" / "later.jsonl").read_bytes() == b""
    (verified,) = verify((tmp_path / "all" / "receipts.jsonl").read_bytes().splitlines(keepends=True), {})
    assert (verified.receipts, verified.head.hash) == (head["seq"], head["hash"])
    assert unbundling.check(tmp_path / "all", made.keys, None).manifest.receipts == head["seq"] >= 8


def test_a_bundle_is_there_whole_or_not_at_all(made: Bundled, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("")
    taken = made.export(tmp_path / "full", "--since", "1d")
    assert (taken.returncode, "not an empty directory" in taken.stderr) == (2, True)
    nobody = made.audit("export", "nobody", "--since", "1d", "-o", tmp_path / "none")
    assert (nobody.returncode, "nobody has no ledger" in nobody.stderr) == (1, True)
    nothing = made.export(tmp_path / "none", "--since", "1d", "--until", "2d")
    assert (nothing.returncode, "is not before --until" in nothing.stderr) == (2, True)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["full"]
    (tmp_path / "cut.part").mkdir()
    left_over = made.export(tmp_path / "cut", "--since", "1d")
    assert (left_over.returncode, "cut.part" in left_over.stderr) == (2, True)
    assert "an export that was cut short left it, or one is under way: remove it" in left_over.stderr
    (tmp_path / "cut.part").rmdir()
    assert made.export(tmp_path / "cut", "--since", "1d").returncode == 0


def test_a_signature_of_a_bundle_is_no_token(made: Bundled) -> None:
    """By its `typ`: a JWT verifier of ours takes it for none, whatever the payload."""
    header, _, _ = (made.directory / "manifest.jws").read_text().partition(".")
    assert json.loads(urlsafe_b64decode(header + "=="))["typ"] not in TYPES


def test_what_rests_in_an_archive_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    def at_the_store(*arguments: str | Path) -> Any:
        return tai(*arguments, "--data-dir", tmp_path, **environ_of(tmp_path))

    old = written(tmp_path / "old.jsonl", ledger("acme", 1_100, time="2024-05-06T07:08:09.000000Z"))
    assert at_the_store("receipts", "import", old).returncode == 0
    archived = at_the_store("receipts", "archive", "-t", "acme", "--through", "1000")
    assert archived.returncode == 0, archived.stderr
    cut = at_the_store("audit", "export", "acme", "--since", "2024-01-01T00:00:00Z", "-o", tmp_path / "cut")
    assert (cut.returncode, "receipts up to 1000" in cut.stderr) == (1, True)
    assert not (tmp_path / "cut").exists()
    done = at_the_store("audit", "export", "acme", "--since", "2024-05-07T00:00:00Z", "-o", tmp_path / "kept")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "kept" / "verification.json").read_text())["verified"]["from"] == 1001
    assert unbundling.check(tmp_path / "kept", None, None).manifest.receipts >= 1
