"""`quarantine list|show|redrive|discard`, beside a running service and without one."""

import asyncio
from base64 import b64decode
from typing import Any

import pytest
from tests.unit.cli.exports import CommandLine

from tai_autonomics.ledger.records import Quarantined
from tai_autonomics.stores.sqlite import SQLiteStore

PAYLOAD = b'{"tenant_id":"acme"}'
LATER = "2999-01-01T00:00:00.000000Z"


def message(number: int, **given: Any) -> Quarantined:
    given = {"reason": "missing_field", "payload": PAYLOAD, **given}
    return Quarantined(
        id=f"pubsub:s:{number:03}",
        time="2026-11-24T02:01:33.123456Z",
        digest="d" * 64,
        subscription="s",
        message_id=f"{number:03}",
        by="pusher",
        **given,
    )


def put(cli: CommandLine, *messages: Quarantined) -> None:
    async def work() -> None:
        store = await SQLiteStore.open(str(cli.directory / "data" / "tai.db"))
        for each in messages:
            await store.quarantine(each)
        await store.aclose()

    asyncio.run(work())


def test_a_list_has_a_line_a_message_past_a_page(cli: CommandLine) -> None:
    put(cli, *map(message, range(40)), message(40, reason="rate_limited", redrive_at=LATER))
    assert cli("quarantine", "list") == 0
    lines = cli.out.splitlines()
    assert len(lines) == 41
    assert lines[0] == "2026-11-24T02:01:33.123456Z  missing_field           when you redrive it          pubsub:s:000"
    assert lines[40] == f"2026-11-24T02:01:33.123456Z  rate_limited            {LATER}  pubsub:s:040"
    assert cli("quarantine", "list", "--json") == 0
    assert cli.documents[0] == {
        "id": "pubsub:s:000",
        "time": "2026-11-24T02:01:33.123456Z",
        "reason": "missing_field",
        "digest": "d" * 64,
        "subscription": "s",
        "message_id": "000",
        "by": "pusher",
        "tenants": None,
        "trace": None,
        "redrives": 0,
        "redrive_at": None,
        "payload_bytes": len(PAYLOAD),
    }


def test_a_message_is_shown_with_what_it_carries(cli: CommandLine) -> None:
    put(cli, message(1, payload=b"\x1b\xff" + b"x" * 2_000, redrives=2))
    assert cli("quarantine", "show", "pubsub:s:001") == 0
    lines = cli.out.splitlines()
    assert lines[:6] == [
        "message    001 of s",
        "id         pubsub:s:001",
        "came       2026-11-24T02:01:33.123456Z, by pusher",
        "reason     missing_field",
        "redriven   2 times; next: when you redrive it",
        f"digest     {'d' * 64}",
    ]
    assert lines[6].startswith("payload    \\x1b�xxx")
    assert lines[7] == "           … 2 bytes more"
    assert cli("quarantine", "show", "pubsub:s:001", "--json") == 0
    assert b64decode(cli.documents[0]["data"]) == b"\x1b\xff" + b"x" * 2_000


def test_a_message_is_marked_for_another_delivery(cli: CommandLine) -> None:
    put(cli, message(1, redrives=9), message(2))
    assert cli("quarantine", "redrive", "pubsub:s:001") == 0
    assert cli.out == "1 message marked: the next start of the service delivers\n"
    assert cli("quarantine", "list", "--json") == 0
    marked, other = cli.documents
    assert (marked["redrives"], marked["redrive_at"] > "2026", other["redrive_at"]) == (0, True, None)


def test_every_message_is_marked_past_a_page(cli: CommandLine) -> None:
    put(cli, *map(message, range(40)))
    assert (cli("quarantine", "redrive", "--all", "--json"), cli.documents) == (0, [{"marked": 40}])
    assert cli("quarantine", "list", "--json") == 0
    assert all(each["redrive_at"] for each in cli.documents)


def test_a_message_is_discarded_and_the_others_stay(cli: CommandLine) -> None:
    put(cli, message(1), message(2))
    assert cli("quarantine", "discard", "pubsub:s:001") == 0
    assert cli.out == "1 message discarded\n"
    assert cli("quarantine", "list", "--json") == 0
    assert [each["id"] for each in cli.documents] == ["pubsub:s:002"]


def test_every_message_is_discarded_past_a_page(cli: CommandLine) -> None:
    put(cli, *map(message, range(40)))
    assert (cli("quarantine", "discard", "--all", "--json"), cli.documents) == (0, [{"discarded": 40}])
    assert cli("quarantine", "list") == 0
    assert cli.out == ""


def test_a_running_service_is_read_beside_and_not_marked(cli: CommandLine) -> None:
    put(cli, message(1))
    with asyncio.Runner() as service:
        store = service.run(SQLiteStore.open(str(cli.directory / "data" / "tai.db")))
        assert cli("quarantine", "list") == 0
        assert cli("quarantine", "discard", "--all") == 69
        assert "discard needs the service stopped" in cli.err
        assert cli("quarantine", "redrive", "--all") == 69
        service.run(store.aclose())
    assert "redrive needs the service stopped; while it runs, it redrives by itself what time can cure" in cli.err


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("show", "x"), 1, "no message x is in quarantine"),
        (("redrive", "x"), 1, "no message x is in quarantine"),
        (("discard", "x"), 1, "no message x is in quarantine"),
        (("discard",), 2, "give an ID or --all"),
        (("redrive",), 2, "give an ID or --all"),
        (("redrive", "x", "--all"), 2, "give an ID or --all"),
        (("redrive", "--all", "--data-dir", "elsewhere"), 69, "no ledger at"),
    ],
)
def test_what_is_not_there_or_not_meant_is_said(
    cli: CommandLine, arguments: tuple[str, ...], status: int, said: str
) -> None:
    put(cli, message(1))
    assert cli("quarantine", *arguments) == status
    assert said in cli.err
    assert not (cli.directory / "elsewhere").exists()
