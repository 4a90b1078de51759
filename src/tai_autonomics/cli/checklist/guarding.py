"""Security: who is let in, whom a token reaches, what a tenant may use, and how answers are kept from strangers."""

import base64
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import typer

from tai_autonomics.cli.checklist.asking import Answer
from tai_autonomics.cli.checklist.lines import Found, Row, Section, failed, left_open, not_applicable, shown
from tai_autonomics.cli.checklist.run import ENTITLEMENT, PREFIX, Run, claims_of
from tai_autonomics.cli.served import is_loopback

NOBODYS: Final = ".".join(
    base64.urlsafe_b64encode(part).rstrip(b"=").decode()
    for part in (b'{"alg":"none"}', b'{"sub":"checklist","roles":["admin"],"tenants":"*"}', b"")
)
"""A token that nobody signed."""


async def strangers_are_refused(run: Run) -> Found:
    forged = run.ask.token[:-8] + ("A" * 8 if not run.ask.token.endswith("A" * 8) else "B" * 8)
    credentials = {"none": "", "no token": "checklist", "unsigned": NOBODYS, "a changed signature": forged}
    verify = run.verify(run.names.first)
    statuses: dict[str, int] = {}
    let_in, unnamed = [], []
    for name, token in credentials.items():
        for answer in (
            await run.ask.get("/v1/tenants", token=token, good=False),
            await run.ask.get("/metrics", token=token, good=False),
            await run.ask.post("/marketplace", verify, token=token, good=False),
            await run.ask.post("/pubsub", {"message": {"data": "dGVzdA=="}}, token=token, good=False),
        ):
            statuses[f"{answer.call}, {name}"] = answer.status
            if answer.status != 401:
                let_in.append(f"{answer.call} with the credential {name!r} answered {answer.status}")
            elif "www-authenticate" not in answer.headers:
                unnamed.append(f"{answer.call} 401 has no WWW-Authenticate")
    if let_in or unnamed:
        return failed("; ".join([*let_in, *unnamed][:4]), statuses=statuses)
    return shown(f"{len(statuses)} calls without a valid credential were refused with 401", statuses=statuses)


async def tenants_are_apart(run: Run) -> Found:
    first, second = run.names.first, run.names.second
    key = run.key("apart")
    (await run.ask.post("/marketplace", run.verify(first), key=key)).expect(200)
    own = (await run.ask.post("/marketplace", run.verify(second), key=key, good=False)).expect(
        403, "entitlement_inactive"
    )
    check = (await run.ask.post(f"/v1/tenants/{second}/check", {"entitlement_id": ENTITLEMENT})).expect(200)
    if check.members.get("allowed") is not False:
        return failed(f"{second} may do what only {first} was granted", check=check.members)
    answers = [own, check]
    for path in ("", "/receipts", "/receipts/head", "/actions"):
        answers.append(await run.ask.until(partial(run.ask.get, f"/v1/tenants/{second}{path}"), _is_200))
        answers[-1].expect(200)
    for answer in answers:
        if first.encode() in answer.content:
            return failed(
                f"{answer.call}, asked for {second}, names {first}",
                answer=answer.content[:500].decode("utf-8", "replace"),
            )
    return shown(f"what {first} was granted is not seen at, and not given to, {second}", tenants=[first, second])


def _is_200(answer: Answer) -> bool:
    return answer.status == 200


async def a_token_reaches_only_its_tenants(run: Run) -> Found:
    token = run.wanted.tenant_token
    if token is None:
        return left_open(
            "give --tenant-token-file: a file made by `tai-autonomics token mint --role viewer"
            f" --tenants {PREFIX}viewer --ttl 15m -o FILE`"
        )
    tenants = claims_of(token).get("tenants")
    if not isinstance(tenants, list) or not tenants:
        raise typer.BadParameter("--tenant-token-file: the token names no tenants: mint one that does")
    for tenant in (run.names.first, f"{run.names.stem}-never"):
        answer = await run.ask.get(f"/v1/tenants/{tenant}/receipts", token=token, good=False)
        answer.expect(403, "tenant_forbidden")
    (await run.ask.get(f"/v1/tenants/{tenants[0]}/receipts", token=token)).expect(200)
    listed: Any = (await run.ask.get("/v1/tenants?limit=1000", token=token)).expect(200).members.get("items", [])
    others = [each.get("tenant_id") for each in listed if each.get("tenant_id") not in tenants]
    if others:
        return failed(f"a token of {', '.join(map(str, tenants))} lists {', '.join(map(str, others[:3]))}")
    return shown("other tenants, there or not, are 403 tenant_forbidden, and none is listed", tenants=tenants)


async def a_role_does_only_what_is_its(run: Run) -> Found:
    token = run.wanted.tenant_token
    if token is None:
        return left_open("give --tenant-token-file, with a viewer's token (see the line above)")
    claims = claims_of(token)
    if claims.get("roles") != ["viewer"]:
        return not_applicable("the tenant's token is not a viewer's alone, so it may do more")
    tenant = claims["tenants"][0]
    (await run.ask.post("/marketplace", run.verify(tenant), token=token, good=False)).expect(403, "role_forbidden")
    return shown("a viewer's command is 403 role_forbidden", roles=["viewer"])


async def a_quota_ends(run: Run) -> Found:
    quota = run.quota
    if quota is None:
        return not_applicable(f"the plan {run.granted_plan.name} has no hard quota with a limit; name one by --plan")
    tenant, limit = run.names.metered, quota.limit
    assert limit is not None, "such quotas alone are chosen"
    (await run.ask.post("/marketplace", run.grant(tenant), key=run.key("metered"))).expect(200)
    run.entitled.append(tenant)
    path = f"/v1/tenants/{tenant}/usage"
    consume = {"operation": "consume", "quota": quota.name, "amount": limit}
    (await run.ask.post(path, consume, key=run.key("all"))).expect(200)
    run.used = quota.name
    beyond = await run.ask.post(path, {**consume, "amount": 1}, key=run.key("beyond"), good=False)
    if beyond.status == 200 and quota.per != "lifetime":
        # The window may just have ended: then 1 is used of the next, and the whole limit is too much again.
        beyond = await run.ask.post(path, consume, key=run.key("beyond-the-next"), good=False)
    beyond.expect(429, "quota_exceeded")
    if lacking := [each for each in ("ratelimit", "ratelimit-policy") if each not in beyond.headers]:
        return failed(f"the refusal lacks the header {lacking[0]}")
    if quota.per != "lifetime" and "retry-after" not in beyond.headers:
        return failed("the refusal does not say when to come back (Retry-After)")
    check = await run.ask.until(
        lambda: run.ask.post(f"/v1/tenants/{tenant}/check", {"quota": quota.name}),
        lambda answer: answer.members.get("allowed") is False,
    )
    if check.members.get("allowed") is not False:
        return failed("a check allows what usage refuses", check=check.members)
    said = f"{limit:,} of {quota.name} were let through, and one more refused"
    return shown(said, quota=quota.name, limit=limit, receipt=beyond.headers.get("receipt-hash"))


async def answers_have_their_headers(run: Run) -> Found:
    wrong = set()
    for each in run.ask.answers:
        for name, value in (("x-content-type-options", "nosniff"), ("cache-control", "no-store")):
            if each.headers.get(name) != value:
                wrong.add(f"{each.call} has not {name}: {value}")
        if not each.headers.get("x-request-id"):
            wrong.add(f"{each.call} has no x-request-id")
    if wrong:
        return failed("; ".join(sorted(wrong)[:4]), wrong=len(wrong))
    return shown(f"{len(run.ask.answers):,} answers say nosniff, no-store and their request's id")


async def the_way_is_encrypted(run: Run) -> Found:
    place = urlsplit(run.wanted.url)
    if place.scheme == "https":
        return shown("https, with a certificate that this machine trusts for that name")
    if is_loopback(place.hostname or ""):
        return not_applicable("asked over loopback, which leaves no machine")
    return failed("asked over http: tokens and receipts can be read on the way")


SECTION: Final = Section(
    "Security",
    (
        Row("authentication", "JWT verification enabled for production", strangers_are_refused),
        Row("tenant-isolation", "Tenant isolation enforced", tenants_are_apart, needs=("marketplace",)),
        Row(
            "token-scope",
            "Tenant isolation enforced: a token reaches only its tenants",
            a_token_reaches_only_its_tenants,
        ),
        Row("roles", "Role-based access control configured", a_role_does_only_what_is_its),
        Row("quota", "Quota enforcement tested", a_quota_ends),
        Row("security-headers", "Answers are neither sniffed nor kept", answers_have_their_headers, late=True),
        Row("transport", "No insecure protocols used", the_way_is_encrypted),
    ),
)
