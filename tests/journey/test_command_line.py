"""The command line as its users have it: real processes, a running service, what is printed pasted as it stands."""

import json
import os
import pty
import random
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.journey.service import Service
from tests.sizes import size
from tests.unit.cli.exports import exported, ledger

from tai_autonomics.cli.moving import BATCH_LINES

pytestmark = pytest.mark.embedded

COMMAND = [sys.executable, "-m", "tai_autonomics"]
VERIFIER = Path(__file__).parents[1] / "independent_verifier.py"
SECONDS_MAX = 60
LAST_LINE = "Ctrl-C stops it.\n"


def tai(*arguments: str | Path, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
        cwd=cwd,
        env={**os.environ, "TAI_METRICS_ADDRESS": "off", **environ},
    )


def documents(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Service]:
    """A service in dev mode whose greeting is whole; its directory's name needs quoting."""
    with Service(tmp_path / "my data", "--dev") as service:
        deadline = time.monotonic() + SECONDS_MAX
        with service.client("") as client:
            while LAST_LINE not in service.output:
                assert time.monotonic() < deadline, service.output
                client.get("/health/live")
        yield service


def calls_of(service: Service) -> list[str]:
    return [line for line in service.output if line.startswith("curl ")]


def paste(call: str) -> dict[str, Any]:
    done = subprocess.run(["sh", "-c", call], capture_output=True, text=True, timeout=SECONDS_MAX, check=True)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def granted_with_metadata(service: Service) -> int:
    """A receipt with an erasable part; its seq."""
    body = {
        "tenant_id": "acme",
        "entitlement_id": "ent_9",
        "action": "grant",
        "plan": "free",
        "metadata": {"who": "Zoë"},
    }
    with service.client() as client:
        answer = client.post("/marketplace", json=body)
        assert answer.status_code == 200
        seq: int = answer.json()["receipt"]["seq"]
        return seq


def test_the_four_printed_calls_work_as_pasted_and_again(dev: Service) -> None:
    calls = calls_of(dev)
    assert len(calls) == 4
    grant, check, signal_, receipts = map(paste, calls)
    decision = grant["receipt"]["decision"]
    assert (decision["from"], decision["to"], [gate["gate"] for gate in decision["gates"]]) == (
        "none",
        "active",
        ["compliance_permits"],
    )
    assert check["allowed"] is True
    assert signal_["receipt"]["events"][0]["type"] == "SignalObserved"
    assert signal_["receipt"]["decision"]["to"] == "stable"
    assert [each["hash"] for each in receipts["items"]] == [grant["hash"], signal_["hash"]]
    again = [paste(call) for call in calls]
    assert (again[0], again[2], again[3]) == (grant, signal_, receipts)


def test_dev_keeps_its_secrets_to_itself(dev: Service) -> None:
    assert dev.url.startswith("http://127.0.0.1:")
    for name in ("admin.token", "signing-key.pem", "tai.db"):
        assert (dev.data_dir / name).stat().st_mode & 0o077 == 0
    assert any(str(dev.data_dir / "admin.token") in line for line in dev.output)
    assert dev.admin_token not in "".join(dev.output)


def test_what_is_shown_is_the_same_from_the_store_and_from_the_service(dev: Service) -> None:
    for call in calls_of(dev):
        paste(call)
    store = ("--data-dir", str(dev.data_dir))
    service = (*store, "--url", dev.url)
    for arguments in (
        ("receipts", "list", "-t", "acme"),
        ("receipts", "list", "-t", "acme", "--limit", "1", "--after", "1"),
        ("receipts", "show", "-t", "acme", "--seq", "1"),
        ("receipts", "show", "-t", "acme"),
        ("tenants", "list"),
    ):
        shown = documents(tai(*arguments, *store, "--json"))
        assert shown
        assert shown == documents(tai(*arguments, *service, "--json"))
    here, there = (documents(tai("tenants", "show", "acme", *place, "--json"))[0] for place in (store, service))
    for view in (here, there):
        view["as_of"].pop("time")
    assert here == there


def test_the_service_says_no_in_one_line_and_with_a_status(dev: Service, tmp_path: Path) -> None:
    place = ("--data-dir", str(dev.data_dir), "--url", dev.url)
    gone = tai("tenants", "show", "nobody", *place)
    assert (gone.returncode, gone.stderr.count("\n")) == (1, 1)
    minted = tai(
        "token", "mint", "--role", "viewer", "--tenants", "bob", "--data-dir", dev.data_dir, "-o", tmp_path / "t"
    )
    assert minted.returncode == 0, minted.stderr
    other = tai("tenants", "show", "acme", *place, "--token-file", tmp_path / "t")
    assert (other.returncode, "tenant_forbidden" in other.stderr) == (2, True)
    (tmp_path / "t").write_text("not.a.token")
    assert tai("tenants", "list", *place, "--token-file", tmp_path / "t").returncode == 2
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    down = tai("tenants", "list", "--data-dir", dev.data_dir, "--url", f"http://127.0.0.1:{port}")
    assert (down.returncode, "does not answer" in down.stderr) == (69, True)


def test_what_is_erased_through_the_service_is_gone_from_the_export(dev: Service, tmp_path: Path) -> None:
    seq = granted_with_metadata(dev)
    place, where = ("--data-dir", str(dev.data_dir)), ("-t", "acme", "--seq", str(seq), "--part", "metadata")
    before = tai("receipts", "export", *place)
    assert "Zoë" in before.stdout
    beside = tai("receipts", "erase", *where, *place)
    assert (beside.returncode, "--url URL --token-file FILE" in beside.stderr) == (69, True)
    erased = documents(tai("receipts", "erase", *where, *place, "--url", dev.url, "--reason", "asked", "--json"))[0]
    assert erased["receipt"]["events"] == [{"part": "metadata", "seq": seq, "type": "PartErased"}]
    assert documents(tai("receipts", "erase", *where, *place, "--url", dev.url, "--json"))[0]["hash"] == erased["hash"]

    file = tmp_path / "after.jsonl"
    assert tai("receipts", "export", *place, "-o", file).returncode == 0
    assert "Zoë" not in file.read_text()
    verified = documents(tai("receipts", "verify", file, "--head", erased["hash"], "--json"))[0]
    assert (verified["erased"], verified["opened"], verified["trusted"]) == ({"metadata": 1}, {"reason": 1}, "given")
    shown = tai("receipts", "show", "-t", "acme", "--seq", str(seq), *place)
    assert "part      metadata: (erased)" in shown.stdout
    assert tai("receipts", "replay", *place).returncode == 0


def test_with_the_service_stopped_a_part_is_erased_here(tmp_path: Path) -> None:
    with Service(tmp_path) as service:
        seq = granted_with_metadata(service)
    place, where = ("--data-dir", str(tmp_path)), ("-t", "acme", "--seq", str(seq))
    assert tai("receipts", "erase", *where, "--part", "nothing", *place).returncode == 1
    assert tai("receipts", "erase", "-t", "acme", "--seq", "99", "--part", "metadata", *place).returncode == 1
    done = documents(tai("receipts", "erase", *where, "--part", "metadata", "--reason", "asked", *place, "--json"))[0]
    assert (done["receipt"]["cause"]["kind"], done["journal"]) == ("cli", "clean")
    export = tai("receipts", "export", *place)
    assert ("Zoë" in export.stdout, "asked" in export.stdout) == (False, True)
    assert b"Zo\xc3\xab" not in (tmp_path / "tai.db").read_bytes()
    assert tai("receipts", "verify", "--head", done["hash"], *place).returncode == 0
    with Service(tmp_path) as service, service.client() as client:
        assert client.get("/v1/tenants/acme/receipts/head").json()["hash"] == done["hash"]


def test_a_ledger_moves_to_another_store_and_is_served_there(tmp_path: Path) -> None:
    with Service(tmp_path / "a") as service:
        granted_with_metadata(service)
        file = tmp_path / "x.jsonl"
        assert tai("receipts", "export", "--data-dir", tmp_path / "a", "-o", file).returncode == 0
        refused = tai("receipts", "import", file, "--data-dir", tmp_path / "a")
        assert (refused.returncode, "another process writes" in refused.stderr) == (69, True)
        with service.client() as client:
            receipts = client.get("/v1/tenants/acme/receipts").json()
    assert tai("receipts", "import", file, "--data-dir", tmp_path / "b").returncode == 0
    assert tai("receipts", "replay", "--data-dir", tmp_path / "b").returncode == 0
    with Service(tmp_path / "b") as service, service.client() as client:
        assert client.get("/v1/tenants/acme/receipts").json() == receipts
        body = {"tenant_id": "acme", "entitlement_id": "ent_9"}
        assert client.post("/marketplace", json=body).json()["receipt"]["seq"] == 2


def test_doctor_knows_the_service_that_holds_the_port(dev: Service) -> None:
    port = dev.url.rpartition(":")[2]
    done = documents(tai("doctor", "--dev", "--data-dir", dev.data_dir, "--json", PORT=port))[0]
    assert {each["answer"] for each in done["checks"]} == {"yes"}
    assert done["checks"][-1] == {
        "check": "port",
        "answer": "yes",
        "detail": f"127.0.0.1:{port} is held by a running service",
    }


def test_a_start_that_cannot_be_ends_in_one_line(tmp_path: Path) -> None:
    with Service(tmp_path / "a") as service:
        port = service.url.rpartition(":")[2]
        taken = tai("serve", "--host", "127.0.0.1", "--port", port, "--data-dir", tmp_path / "b")
        second = tai("serve", "--host", "127.0.0.1", "--port", "0", "--data-dir", tmp_path / "a")
        (tmp_path / "plain").touch()
        unwritable = tai("serve", "--host", "127.0.0.1", "--port", "0", "--data-dir", tmp_path / "plain" / "x")
        (tmp_path / "plans.yaml").write_text("plans: 1\n")
        place = ("--host", "127.0.0.1", "--port", "0", "--data-dir", tmp_path / "c")
        unplanned = tai("serve", *place, PLANS_FILE=str(tmp_path / "plans.yaml"))
    for done, status, said in (
        (taken, 78, f"PORT: 127.0.0.1:{port} cannot"),
        (second, 69, "another process writes"),
        (unwritable, 78, "TAI_DATA_DIR"),
        (unplanned, 78, "plans.yaml:1: "),
    ):
        assert (done.returncode, done.stderr.count("\n")) == (status, 1), done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stdout
    assert not (tmp_path / "b").exists()


def test_an_interrupt_stops_the_service_in_peace(dev: Service) -> None:
    os.kill(dev.pid, signal.SIGINT)
    assert dev.stop() == 0


def test_an_interrupted_import_goes_on_where_it_was(tmp_path: Path) -> None:
    many, store = BATCH_LINES + 2_000, ("--data-dir", str(tmp_path / "d"))
    file = exported(tmp_path / "x.jsonl", ledger("acme", many))
    lines = file.read_bytes().splitlines(keepends=True)
    with subprocess.Popen([*COMMAND, "receipts", "import", "-", *store], stdin=subprocess.PIPE) as running:
        assert running.stdin is not None
        running.stdin.write(b"".join(lines[: BATCH_LINES + 100]))
        running.stdin.flush()
        deadline = time.monotonic() + SECONDS_MAX
        while "acme" not in tai("tenants", "list", *store).stdout:
            assert time.monotonic() < deadline
        # It waits for more lines now, and ends all the same.
        running.send_signal(signal.SIGINT)
        assert running.wait(SECONDS_MAX) == 130
    done = documents(tai("receipts", "import", file, *store, "--json"))[0]
    assert done["held"] >= BATCH_LINES
    assert done["appended"] + done["held"] == many


def test_an_import_that_was_killed_again_and_again_goes_on_and_ends_with_equal_heads(tmp_path: Path) -> None:
    with Service(tmp_path / "a") as service:
        granted_with_metadata(service)
        with service.client() as client:
            policy = client.get("/v1/tenants/acme/receipts/head").json()["receipt"]["policy"]
    file, source, target = tmp_path / "x.jsonl", ("--data-dir", tmp_path / "a"), ("--data-dir", tmp_path / "b")
    own = exported(tmp_path / "own.jsonl", *(ledger(f"t{n}", 700, ledger=f"{n:026}") for n in range(10)))
    assert tai("receipts", "import", own, *source).returncode == 0
    assert tai("receipts", "export", "-o", file, *source).returncode == 0
    for _ in range(size(short=4, full=40)):
        with subprocess.Popen([*COMMAND, "receipts", "import", str(file), *map(str, target)]) as running:
            try:
                running.wait(random.uniform(0.3, 1.2))
            except subprocess.TimeoutExpired:
                running.kill()
    done = documents(tai("receipts", "import", file, *target, "--json"))[0]
    assert (done["held"] + done["appended"], len(done["ledgers"])) == (7_001, 11)
    heads = [documents(tai("tenants", "list", "--json", *place)) for place in (source, target)]
    assert heads[0] == heads[1]
    for check in ("verify", "replay"):
        assert tai("receipts", check, *target, "-q").returncode == 0
    again = tmp_path / "again.jsonl"
    assert tai("receipts", "export", "-o", again, *target).returncode == 0
    assert again.read_bytes() == file.read_bytes()
    verified = subprocess.run([sys.executable, VERIFIER, file], capture_output=True, timeout=SECONDS_MAX, check=True)
    assert set(json.loads(verified.stdout)) == {each["tenant_id"] for each in heads[1]}
    (named,) = [line["plans"] for line in map(json.loads, again.read_text().splitlines()) if "plans" in line]
    assert sha256(named.encode()).hexdigest() == policy
    with Service(tmp_path / "b") as service, service.client() as client:
        assert client.get(f"/v1/policies/{policy}").text == named


def test_verify_shows_a_bar_on_a_terminal(tmp_path: Path) -> None:
    lines = exported(tmp_path / "x.jsonl", ledger("acme", 2_000)).read_bytes().splitlines(keepends=True)
    ours, theirs = pty.openpty()
    with (
        open(ours, "rb", buffering=0) as terminal,
        subprocess.Popen(
            [*COMMAND, "receipts", "verify", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=theirs
        ) as running,
    ):
        os.close(theirs)
        assert running.stdin is not None
        # Fed slowly, so that the work is long enough to show.
        for sent, line in enumerate(lines, start=1):  # noqa: B007
            running.stdin.write(line)
            running.stdin.flush()
            if select.select([terminal], [], [], 0.002)[0]:
                break
        else:
            pytest.fail("no bar was shown")
        running.stdin.write(b"".join(lines[sent:]))
        assert b"acme: verified 2,000 receipts" in running.communicate(timeout=SECONDS_MAX)[0]
        assert running.returncode == 0
