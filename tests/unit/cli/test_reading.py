"""`receipts list|show` and `tenants list|show` beside the store."""

import pytest
from tests.unit.cli.exports import CommandLine, exported, ledger, lines

from tai_autonomics.cli.output import columns, counted, printable, rate
from tai_autonomics.cli.reading import lines_of, summary_of
from tai_autonomics.cli.tenants import lines_of as tenant_lines_of

REFUSAL = (
    b'{"receipt":{"cause":{"by":"me","id":"k","kind":"usage"},"decision":{"gates":[{"evidence":{"limit":1},'
    b'"gate":"quota_is_available","passed":false}]},"events":[],"policy":"p","prev":"00","refusal":{"detail":"no",'
    b'"next_step":"wait","reason":"quota_exceeded"},"seq":7,"subject":{"id":"api_calls","kind":"quota"},"tenant":"acme",'
    b'"time":"2026-11-24T02:01:33.123456Z","trace":"abc","type":"refusal","commits":{"reason":"x"}},"hash":"11"}'
)


def test_a_list_has_a_line_a_receipt(stored: CommandLine) -> None:
    acme = ledger("acme", 3)
    assert stored("receipts", "list", "-t", "acme") == 0
    assert (
        stored.out.splitlines()[0]
        == f"     1  {acme[0].time}  {acme[0].hash}  entitlement/ent_1         EntitlementGranted"
    )
    assert len(stored.out.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "seqs"),
    [
        ((), [1, 2, 3]),
        (("--after", "1"), [2, 3]),
        (("--limit", "2"), [1, 2]),
        (("--type", "refusal"), []),
        (("--subject", "entitlement/ent_1", "--after", "2"), [3]),
    ],
)
def test_a_list_is_cut_as_asked(stored: CommandLine, arguments: tuple[str, ...], seqs: list[int]) -> None:
    assert stored("receipts", "list", "-t", "acme", "--json", *arguments) == 0
    assert [each["receipt"]["seq"] for each in stored.documents] == seqs


def test_a_list_is_longer_than_a_page(cli: CommandLine) -> None:
    assert cli("receipts", "import", exported(cli.directory / "x.jsonl", ledger("acme", 1_203)), "-q") == 0
    for limit, expected in ((1_000, 1_000), (9_999, 1_203)):
        assert cli("receipts", "list", "-t", "acme", "--limit", str(limit)) == 0
        assert [int(line.split()[0]) for line in cli.out.splitlines()] == list(range(1, expected + 1))


def test_json_is_byte_for_byte_what_an_export_has(stored: CommandLine) -> None:
    text = [line.decode() for line in lines(ledger("acme", 3))]
    assert (stored("receipts", "list", "-t", "acme", "--json"), stored.out) == (0, "".join(text))
    assert (stored("receipts", "show", "-t", "acme", "--seq", "1", "--json"), stored.out) == (0, text[0])
    assert (stored("receipts", "show", "-t", "acme", "--json"), stored.out) == (0, text[2])
    assert (stored("receipts", "show", "-t", "acme", "--quiet"), stored.out) == (0, "")


def test_a_receipt_is_shown_with_everything_that_it_says(stored: CommandLine) -> None:
    first = ledger("acme", 1)[0]
    assert stored("receipts", "show", "-t", "acme", "--seq", "1") == 0
    assert stored.out.splitlines() == [
        "receipt   1 of acme",
        f"hash      {first.hash}",
        f"prev      {'0' * 64}",
        f"time      {first.time}",
        "type      transition",
        "subject   entitlement/ent_1",
        "cause     marketplace http:me:1 by me",
        "state     none -> active",
        'event     EntitlementGranted {"entitlement_id":"ent_1","plan":"free"}',
        f"policy    {'0' * 64}",
        'part      metadata: {"order":"O-1"}',
    ]


def test_a_refusal_shows_why_and_what_next() -> None:
    assert summary_of(REFUSAL).endswith("  11  quota/api_calls           refused: quota_exceeded")
    assert lines_of(REFUSAL)[7:] == [
        'gate      quota_is_available: FAILED {"limit":1}',
        "refused   quota_exceeded: no",
        "next step wait",
        "policy    p",
        "trace     abc",
        "part      reason: (erased)",
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("receipts", "list", "-t", "carol"), 1, "carol has no ledger"),
        (("receipts", "show", "-t", "acme", "--seq", "9"), 1, "acme has no receipt 9; its newest is 3"),
        (("receipts", "show", "-t", "acme", "--seq", "0"), 2, "is neither a receipt's number nor head"),
        (("receipts", "show", "-t", "acme", "--seq", "٣"), 2, "is neither a receipt's number nor head"),
        (("receipts", "list", "-t", "a/b"), 2, "a tenant id is 1 to 128"),
        (("tenants", "show", "carol"), 1, "carol has no ledger"),
        (("tenants", "list", "--token-file", "x"), 2, "--token-file goes with --url"),
        (("tenants", "list", "--url", "http://x", "--store", "sqlite:///x"), 2, "give --store or --url, not both"),
        (("tenants", "list", "--url", "ftp://x"), 2, "is not http(s)://host:port"),
        (("tenants", "list", "--url", "http://127.0.0.1:9"), 2, "data/admin.token: No such file or directory"),
        (("tenants", "list", "--url", "http://127.0.0.1:9", "--token-file", "given.jsonl"), 2, "does not hold a token"),
    ],
)
def test_what_is_not_there_or_not_meant_is_said(
    stored: CommandLine, arguments: tuple[str, ...], status: int, said: str
) -> None:
    assert stored(*arguments) == status
    assert said in stored.err


def test_tenants_are_listed_with_their_heads(stored: CommandLine) -> None:
    assert stored("tenants", "list", "--json") == 0
    heads = [ledger("acme", 3)[-1], ledger("bob", 2, ledger="01JD0000000000000000000001")[-1]]
    assert stored.documents == [
        {"tenant_id": head.tenant, "seq": head.seq, "hash": head.hash, "time": head.time} for head in heads
    ]
    assert stored("tenants", "list") == 0
    assert stored.out.splitlines()[0] == f"{'acme':<24}  3  {heads[0].time}  {heads[0].hash}"


def test_a_tenant_is_shown_as_of_now(stored: CommandLine) -> None:
    assert stored("tenants", "show", "acme", "--json") == 0
    document = stored.documents[0]
    assert (document["plan"], document["as_of"]["seq"]) == ("free", 3)
    assert document["entitlements"] == [{"entitlement_id": "ent_1", "status": "active", "plan": "free"}]
    assert stored("tenants", "show", "acme") == 0
    assert "quota        api_calls: 0 of 1,000 used, resets at 2" in stored.out
    assert "entitlement  ent_1: active, plan free\n" in stored.out


def test_a_tenant_without_a_usable_snapshot_is_rebuilt(stored: CommandLine) -> None:
    from tests.unit.cli.test_moving import change

    change(stored, "UPDATE snapshots SET state_version = 0")
    assert stored("tenants", "show", "acme", "--json") == 0
    assert (stored.documents[0]["plan"], stored.documents[0]["as_of"]["seq"]) == ("free", 3)


def test_nothing_in_service_is_said_in_words() -> None:
    view = {
        "tenant_id": "acme",
        "plan": None,
        "as_of": {"seq": 1, "time": "t"},
        "entitlements": [{"entitlement_id": "e", "status": "scheduled", "effective_at": "t2", "plan": None}],
        "quotas": [{"quota": "seats", "limit": None, "used": 5, "resets_at": None}],
    }
    assert tenant_lines_of(view)[1:] == [
        "plan         none: no entitlement is in service",
        "as of        receipt 1, t",
        "entitlement  e: scheduled, effective at t2",
        "quota        seats: 5 of unlimited used",
    ]


def test_a_strangers_words_do_not_steer_the_terminal() -> None:
    assert printable("Zoë \x9b2J\x1b[31m\u202e") == "Zoë \\x9b2J\\x1b[31m\\u202e"
    assert printable("plain") == "plain"


def test_counts_rates_and_columns_read_well() -> None:
    assert [counted(count, "receipt") for count in (0, 1, 2_000)] == ["0 receipts", "1 receipt", "2,000 receipts"]
    assert (rate(1_000, 0.5), rate(5, 0)) == ("0.5 s (2,000/s)", "no time")
    assert columns([("a", "bb", "c"), ("aaa", "b", "")]) == ["a    bb  c", "aaa  b"]


@pytest.mark.parametrize("command", [("receipts", "list", "-t"), ("receipts", "show", "-t"), ("tenants", "show")])
def test_the_fleets_ledger_is_read_as_any_other(cli: CommandLine, command: tuple[str, ...]) -> None:
    assert cli("receipts", "import", exported(cli.directory / "x.jsonl", ledger("~fleet", 2)), "-q") == 0
    assert (cli(*command, "~fleet"), "~fleet" in cli.out or len(cli.out.splitlines()) == 2) == (0, True)
    assert cli(*command, "~other") == 2
