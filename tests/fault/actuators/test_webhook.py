"""A webhook's receiver that answers badly, late, never or from a place where nothing may be sent."""

import asyncio
import datetime
import json
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest
import standardwebhooks
from tests.builders import action
from tests.contract.actuators.scenes import LOOPBACK, SECRET, Standing
from tests.engines.certificates import certificate, serving
from tests.engines.ports import free_port
from tests.engines.receiver import Answer, Receiver, broken_off, dripping, silence, status

from tai_autonomics.actuators.webhook import Lookup, Policy, WebhookActuator, retry_after_seconds
from tai_autonomics.application.ports import NO_HEADERS, Done, NotDone, Uncertain
from tai_autonomics.domain.actions import Webhook

pytestmark = pytest.mark.anyio

NOT_PUBLIC = "the receiver's address is not public, and TAI_WEBHOOK_ADDRESSES_ALLOWED does not name it"
OLD_SECRET = b"the one of before, in use still."
PATIENT, SHORT = 20.0, 0.4
MARGIN_SECONDS = 1.5
NAME = "hooks.example.com"
POLICY = Policy({"*": (SECRET, OLD_SECRET)}, LOOPBACK)


async def sent(
    url: str,
    *,
    seconds: float = PATIENT,
    policy: Policy = POLICY,
    idempotent: bool = True,
    lookup: Lookup | None = None,
    tls: ssl.SSLContext | None = None,
    trace: Mapping[str, str] = NO_HEADERS,
) -> Done | NotDone | Uncertain:
    """The outcome of one attempt."""
    actuator = WebhookActuator(policy, Standing(), lookup=lookup, tls=tls)
    try:
        wanted = action(Webhook(url, idempotent))
        target = await actuator.resolve(wanted)
        return target if isinstance(target, NotDone) else await actuator.attempt(wanted, target, seconds, trace)
    finally:
        await actuator.aclose()


async def answered(answer: Answer, *, seconds: float = PATIENT, idempotent: bool = True) -> Done | NotDone | Uncertain:
    async with Receiver(answer) as receiver:
        outcome = await sent(receiver.url, seconds=seconds, idempotent=idempotent)
        await receiver.closed()
        assert len(receiver.requests) == 1
        return outcome


def names(**addresses: Sequence[str]) -> Lookup:
    """A resolver that knows these names, each with what it answers the first time, the second, …"""
    left = {name.replace("_", "."): list(each) for name, each in addresses.items()}

    async def lookup(host: str, port: int) -> Sequence[str]:
        return left[host].pop(0).split()

    return lookup


async def test_the_request_is_signed_and_says_what_is_wanted() -> None:
    async with Receiver() as receiver:
        assert await sent(receiver.url) == Done("the receiver answered 204")
    (request,) = receiver.requests
    for secret in (SECRET, OLD_SECRET):
        standardwebhooks.Webhook(secret).verify(request.body, request.headers)
    wanted = action(Webhook(receiver.url))
    assert (request.line, request.headers["webhook-id"]) == ("POST /hooks?x=1 HTTP/1.1", wanted.id)
    assert (request.headers["host"], request.headers["content-type"]) == (
        f"127.0.0.1:{receiver.port}",
        "application/json",
    )
    assert json.loads(request.body) == {
        "type": "tai.action.requested",
        "timestamp": wanted.requested_at,
        "data": {
            "action_id": wanted.id,
            "tenant": "acme",
            "rule": "cpu-high",
            "metric": "cpu_utilization",
            "value": "91.5",
            "requested_at": wanted.requested_at,
            "deadline": wanted.deadline,
        },
    }


async def test_the_receiver_hears_the_trace_and_the_signature_is_what_it_was() -> None:
    trace = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "vendor=1"}
    async with Receiver() as receiver:
        for each in (trace, NO_HEADERS):
            assert await sent(receiver.url, trace=each) == Done("the receiver answered 204")
    traced, plain = receiver.requests
    standardwebhooks.Webhook(SECRET).verify(traced.body, traced.headers)
    assert {name: traced.headers[name] for name in trace} == trace
    assert traced.headers.keys() - plain.headers.keys() == trace.keys()
    assert traced.body == plain.body


@pytest.mark.parametrize("code", [200, 201, 202, 204, 299])
async def test_every_2xx_is_success(code: int) -> None:
    assert await answered(status(code)) == Done(f"the receiver answered {code}")


@pytest.mark.parametrize("code", [408, 425, 429, 500, 501, 502, 503, 504, 599])
async def test_too_early_too_much_and_every_5xx_is_temporary(code: int) -> None:
    assert await answered(status(code)) == NotDone(f"the receiver answered {code}", temporary=True)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_and_is_permanent(code: int) -> None:
    async with Receiver() as elsewhere:
        assert await answered(status(code, location=elsewhere.url)) == NotDone(
            f"the receiver answered {code}: redirects are not followed", temporary=False
        )
        assert elsewhere.connections == 0


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 413, 422, 451])
async def test_every_other_4xx_is_permanent(code: int) -> None:
    assert await answered(status(code)) == NotDone(f"the receiver answered {code}", temporary=False)


async def test_gone_is_permanent_and_says_so() -> None:
    assert await answered(status(410)) == NotDone(
        "the receiver answered 410: it wants no more of these", temporary=False
    )


@pytest.mark.parametrize(("code", "temporary"), [(500, None), (502, None), (504, None), (503, True), (429, True)])
async def test_a_5xx_may_hide_that_it_was_done_where_twice_is_not_once(code: int, temporary: bool | None) -> None:
    outcome = await answered(status(code), idempotent=False)
    said = f"the receiver answered {code}"
    assert outcome == (Uncertain(said) if temporary is None else NotDone(said, temporary=temporary))


@pytest.mark.parametrize("code", [429, 503])
async def test_retry_after_is_honoured_within_its_bound(code: int) -> None:
    assert await answered(status(code, retry_after="17")) == NotDone(
        f"the receiver answered {code}", temporary=True, retry_after_seconds=17.0
    )
    assert await answered(status(code, retry_after="9" * 30)) == NotDone(
        f"the receiver answered {code}", temporary=True, retry_after_seconds=3_600.0
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("Tue, 24 Nov 2026 12:00:30 GMT", 30.0),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0.0),
        ("Tue, 24 Nov 2099 11:00:00 GMT", 3_600.0),
        ("Tue, 24 Nov 2026 12:00:30", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("٣", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(text, datetime.datetime(2026, 11, 24, 12, tzinfo=datetime.UTC)) == seconds


async def test_a_megabyte_is_read_no_further_than_its_bound() -> None:
    size = 64 * 1024 * 1024
    sent_bytes = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal sent_bytes
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n".encode())
        while not writer.is_closing():
            writer.write(b"x" * 65_536)
            await writer.drain()
            sent_bytes += 65_536

    assert await answered(endless) == Done("the receiver answered 200")
    assert sent_bytes < size / 4


async def test_headers_without_end_are_cut() -> None:
    outcome = await answered(dripping(b"HTTP/1.1 200 OK\r\n", b"x: " + b"y" * 10_000 + b"\r\n", seconds=0))
    assert outcome == Uncertain("the receiver did not answer before the connection broke")


@pytest.mark.parametrize("answer", [silence, dripping(b"HTTP/1.1 2"), dripping(b"HTTP/1.1 200 OK\r\nx: ")])
async def test_an_answer_that_does_not_come_is_cut_at_the_deadline(answer: Answer) -> None:
    begun = time.monotonic()
    assert await answered(answer, seconds=SHORT) == Uncertain("the receiver did not answer within 0.4 s")
    assert time.monotonic() - begun < SHORT + MARGIN_SECONDS


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (200, Done("the receiver answered 200")),
        (404, NotDone("the receiver answered 404", temporary=False)),
        (503, NotDone("the receiver answered 503", temporary=True)),
    ],
)
async def test_a_body_that_drips_is_cut_at_the_deadline_and_its_status_counts(
    code: int, outcome: Done | NotDone
) -> None:
    begun = time.monotonic()
    head = f"HTTP/1.1 {code} Said\r\ncontent-length: 1000000\r\n\r\n".encode()
    assert await answered(dripping(head), seconds=SHORT) == outcome
    assert time.monotonic() - begun < SHORT + MARGIN_SECONDS


@pytest.mark.parametrize("answer", [broken_off, dripping(b"this is no HTTP\r\n\r\n")])
async def test_a_connection_that_breaks_after_the_request_leaves_it_uncertain(answer: Answer) -> None:
    assert await answered(answer) == Uncertain("the receiver did not answer before the connection broke")


async def test_a_receiver_that_nobody_listens_for_is_temporary() -> None:
    assert await sent(f"http://127.0.0.1:{free_port()}/") == NotDone(
        "the receiver cannot be connected to", temporary=True
    )


async def test_a_connection_that_is_not_taken_up_is_cut_and_nothing_was_sent() -> None:
    async def hanging(host: str, port: int) -> Sequence[str]:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    assert await sent("http://hooks.example.com/", seconds=0.1, lookup=hanging) == NotDone(
        "the receiver was not reached within 0.1 s", temporary=True
    )


async def test_a_name_that_nobody_knows_is_temporary() -> None:
    assert await sent("https://hooks.invalid/") == NotDone("the receiver's name cannot be resolved", temporary=True)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "127.1",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::]",
        "[64:ff9b::127.0.0.1]",
        "10.0.0.1",
        "169.254.169.254",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "224.0.0.1",
    ],
)
async def test_a_private_address_is_refused_however_it_is_written(host: str) -> None:
    async with Receiver() as receiver:
        url = f"https://{host}:{receiver.port}/"
        assert await sent(url, policy=Policy({"*": (SECRET,)})) == NotDone(NOT_PUBLIC, temporary=False)
        assert receiver.connections == 0


async def test_a_name_that_no_resolver_takes_is_refused_for_good() -> None:
    assert await sent(f"https://{'a' * 64}.example/") == NotDone("the receiver's name is none", temporary=False)


async def test_a_policy_is_shown_without_its_secrets() -> None:
    assert repr(POLICY) == "Policy(secrets for *; allowed 127.0.0.0/8)"


async def test_a_name_with_one_private_address_among_others_is_refused() -> None:
    lookup = names(hooks_example_com=["93.184.216.34 2606:4700::1111 10.0.0.1"])
    assert await sent(f"https://{NAME}/", lookup=lookup) == NotDone(NOT_PUBLIC, temporary=False)


async def test_a_name_is_looked_up_once_so_that_it_cannot_mean_another_place_afterwards() -> None:
    async with Receiver() as allowed, Receiver() as metadata:
        lookup = names(hooks_example_com=["127.0.0.1", "127.0.0.2"])
        assert await sent(f"http://{NAME}:{allowed.port}/", lookup=lookup) == Done("the receiver answered 204")
        (request,) = allowed.requests
        assert request.headers["host"] == f"{NAME}:{allowed.port}"
        assert metadata.connections == 0


async def test_the_next_address_is_tried_where_one_cannot_be_connected_to() -> None:
    async with Receiver() as receiver:
        lookup = names(hooks_example_com=["127.0.0.9 127.0.0.1"])
        assert await sent(f"http://{NAME}:{receiver.port}/", lookup=lookup) == Done("the receiver answered 204")


async def test_plain_http_goes_only_where_the_operator_allows_it() -> None:
    lookup = names(hooks_example_com=["93.184.216.34"])
    assert await sent(f"http://{NAME}/", lookup=lookup) == NotDone(
        "the receiver is reached by http://, and TAI_WEBHOOK_ADDRESSES_ALLOWED does not name it", temporary=False
    )


async def test_the_environments_proxy_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver() as proxy, Receiver() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert await sent(receiver.url) == Done("the receiver answered 204")
        assert (proxy.connections, len(receiver.requests)) == (0, 1)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate for NAME in a file with its key, and the context of somebody who trusts it."""
    file = certificate(tmp_path_factory.mktemp("tls"), NAME)
    return file, ssl.create_default_context(cafile=str(file))


@pytest.fixture
async def secure(authority: tuple[Path, ssl.SSLContext]) -> AsyncIterator[Receiver]:
    async with Receiver(tls=serving(authority[0])) as receiver:
        yield receiver


async def test_the_certificate_and_the_name_asked_for_are_those_of_the_url_not_of_the_address(
    secure: Receiver, authority: tuple[Path, ssl.SSLContext]
) -> None:
    lookup = names(hooks_example_com=["127.0.0.1"])
    outcome = await sent(f"https://{NAME}:{secure.port}/", lookup=lookup, tls=authority[1])
    assert outcome == Done("the receiver answered 204")
    assert (secure.requests[0].server_name, secure.requests[0].headers["host"]) == (NAME, f"{NAME}:{secure.port}")


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_receiver_with_anothers_certificate_is_refused_for_good(
    secure: Receiver, authority: tuple[Path, ssl.SSLContext], trusted: bool
) -> None:
    name = "other.example.com" if trusted else NAME
    lookup = names(**{name.replace(".", "_"): ["127.0.0.1"]})
    outcome = await sent(f"https://{name}:{secure.port}/", lookup=lookup, tls=authority[1] if trusted else None)
    assert outcome == NotDone("the receiver's certificate is not good", temporary=False)
    assert secure.requests == []


async def test_a_receiver_that_speaks_no_tls_gets_nothing() -> None:
    async with Receiver() as receiver:
        lookup = names(hooks_example_com=["127.0.0.1"])
        outcome = await sent(f"https://{NAME}:{receiver.port}/", lookup=lookup)
        assert outcome == NotDone("the receiver cannot be connected to", temporary=True)
        assert receiver.requests == []


async def test_a_receiver_without_a_secret_gets_nothing() -> None:
    async with Receiver() as receiver:
        outcome = await sent(receiver.url, policy=Policy({"hooks.example.com": (SECRET,)}, LOOPBACK))
        assert outcome == NotDone("TAI_WEBHOOK_SIGNING_SECRETS has no secret for the receiver", temporary=False)
        assert receiver.connections == 0


async def test_one_attempt_after_another_sends_the_same_body_under_the_same_id_at_its_own_time() -> None:
    async with Receiver(status(503)) as receiver:
        wanted = action(Webhook(receiver.url))
        clock = Standing()
        actuator = WebhookActuator(Policy({"*": (SECRET,)}, LOOPBACK), clock)
        target = await actuator.resolve(wanted)
        assert isinstance(target, dict)
        await actuator.attempt(wanted, target, PATIENT)
        clock.advance(60)
        await actuator.attempt(wanted, target, PATIENT)
        await actuator.aclose()
    first, second = receiver.requests
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    times = [int(each.headers["webhook-timestamp"]) for each in (first, second)]
    assert times[1] - times[0] == 60
    for each in (first, second):
        standardwebhooks.Webhook(SECRET).verify(each.body, each.headers)
