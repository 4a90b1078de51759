"""The route table: what is served, how it is found, and what it can answer."""

from collections.abc import Sequence
from typing import Final

from starlette.routing import compile_path

from tai_autonomics.application.actions import RESULTS, STAGES, ActionShown
from tai_autonomics.application.queries import TenantView
from tai_autonomics.ingress import actions, complying, governing, marketplace, openapi, probes, pubsub, signals, tenants
from tai_autonomics.ingress.exchange import Exchange, Handler, Reply, Route, TurnedAway
from tai_autonomics.ingress.front_door import FrontDoor
from tai_autonomics.ingress.replies import Sealed

ENTITLEMENT_REFUSALS: Final = (
    "clock_skew",
    "compliance_closed",
    "entitlement_inactive",
    "invalid_time",
    "invalid_transition",
    "stale",
    "too_many_entitlements",
    "unknown_plan",
)
USAGE_REFUSALS: Final = (
    "compliance_closed",
    "entitlement_inactive",
    "quota_exceeded",
    "release_exceeds_use",
    "unknown_quota",
)
SIGNAL_REFUSALS: Final = ("clock_skew", "entitlement_inactive", "stale", "unknown_metric")
_KEYED: Final = ("idempotency_key_reused",)
NO_SUCH_PATH: Final = "there is no such path; GET /openapi.json lists every one, GET /health says whether it serves"


def routes() -> tuple[Route, ...]:
    """Hot ones first."""
    table: tuple[Route, ...] = (
        Route(
            method="POST",
            path="/v1/tenants/{tenant}/check",
            serve=tenants.check,
            summary="May this tenant do this? Writes nothing",
            takes=(
                tenants.CheckList,
                tenants.BareCheck,
            ),
            answers=(tenants.CheckReply,),
            reasons=("invalid_entitlement_id",),
            body="own",
        ),
        Route(
            method="POST",
            path="/v1/tenants/{tenant}/usage",
            serve=tenants.usage,
            summary="Consume or release quota, each item on its own",
            takes=(
                tenants.UsageList,
                tenants.UsageItem,
            ),
            answers=(
                tenants.DecidedList,
                Sealed,
            ),
            reasons=(*USAGE_REFUSALS, *_KEYED, "invalid_entitlement_id"),
            keyed=True,
            writes=True,
            body="own",
        ),
        Route(
            method="POST",
            path="/v1/tenants/{tenant}/signals",
            serve=signals.serve,
            summary="Measurements of a tenant; one command, one receipt",
            takes=(signals.SignalList, signals.BareSignal),
            answers=(signals.Observed,),
            reasons=(*SIGNAL_REFUSALS, *_KEYED),
            keyed=True,
            writes=True,
            body="own",
        ),
        Route(
            method="POST",
            path="/marketplace",
            serve=marketplace.serve,
            summary="One entitlement command, one receipt; without an action, verify",
            takes=(marketplace.MarketplaceCommand,),
            answers=(Sealed,),
            reasons=(
                *ENTITLEMENT_REFUSALS,
                *_KEYED,
                "invalid_entitlement_id",
                "unknown_action",
            ),
            credentials=("bearer", "webhook"),
            keyed=True,
            writes=True,
            body="own",
        ),
        Route(
            method="POST",
            path="/pubsub",
            serve=pubsub.Push().serve,
            summary="A Pub/Sub push: 200 acknowledges it, decided or quarantined",
            takes=(pubsub.PushEnvelope,),
            answers=(pubsub.PushReply,),
            reasons=("malformed_envelope",),
            credentials=("bearer", "google"),
            body="push",
            writes=True,
        ),
        Route(
            method="GET",
            path="/health",
            serve=probes.health,
            summary="Whether to send traffic here",
            answers=(probes.Health,),
            statuses=(503,),
            never_waits=True,
        ),
        Route(
            method="GET",
            path="/health/live",
            serve=probes.live,
            summary="Whether the process turns",
            answers=(probes.Liveness,),
            never_waits=True,
        ),
        Route(
            method="GET",
            path="/metrics",
            serve=probes.metrics,
            summary="Prometheus metrics of this process",
            media="text/plain",
            never_waits=True,
        ),
        Route(
            method="GET",
            path="/v1/tenants",
            serve=tenants.tenants,
            summary="The tenants that the caller reaches",
            answers=(tenants.TenantList,),
            queries=("cursor", "limit"),
        ),
        Route(
            method="GET",
            path="/v1/tenants/{tenant}",
            serve=tenants.tenant,
            summary="What is in force for a tenant",
            answers=(TenantView,),
        ),
        Route(
            method="GET",
            path="/v1/tenants/{tenant}/receipts",
            serve=tenants.receipts,
            summary="A tenant's receipts in order",
            answers=(tenants.ReceiptList,),
            queries=("after", "cursor", "limit", "subject", "type"),
        ),
        Route(
            method="GET",
            path="/v1/tenants/{tenant}/receipts/head",
            serve=tenants.head,
            summary="The newest receipt",
            answers=(Sealed,),
        ),
        Route(
            method="GET",
            path="/v1/tenants/{tenant}/receipts/{seq}",
            serve=tenants.receipt,
            summary="One receipt",
            answers=(Sealed,),
        ),
        Route(
            method="POST",
            path="/v1/tenants/{tenant}/quotas/{quota}/reset",
            serve=tenants.reset,
            summary="Set what is used of a quota to 0",
            takes=(tenants.QuotaResetAsked,),
            body_optional=True,
            answers=(Sealed,),
            reasons=("unknown_quota", *_KEYED),
            keyed=True,
            writes=True,
            body="own",
        ),
        _told("governor/pause", governing.pause, "No rule acts until it is resumed"),
        _told(
            "governor/resume", governing.resume, "Ends a pause, an open breaker and the wait after an unknown outcome"
        ),
        Route(
            method="GET",
            path="/v1/tenants/{tenant}/actions",
            serve=actions.listed,
            summary="A tenant's actions, the one in flight and then the newest first",
            answers=(actions.ActionList,),
            queries=("cursor", "limit", "state"),
            states=(*STAGES, *RESULTS),
        ),
        Route(
            method="GET",
            path="/v1/tenants/{tenant}/actions/{action}",
            serve=actions.one,
            summary="One action, with everything that its receipts say of it",
            answers=(ActionShown,),
        ),
        Route(
            method="GET",
            path="/v1/actions",
            serve=actions.in_flight,
            summary="Actions in flight, of the tenants that the caller reaches",
            answers=(actions.InFlightList,),
            queries=("cursor", "limit", "state"),
            states=STAGES,
        ),
        _told(
            "actions/{action}/approve",
            actions.approve,
            "One person's approval of the action in flight",
            ("action_budget_exhausted", "compliance_closed", "entitlement_inactive", "governor_refusing"),
        ),
        _told("actions/{action}/deny", actions.deny, "Do not do the action that waits for approval"),
        _told("actions/{action}/cancel", actions.cancel, "Do no more of the action in flight"),
        _said(
            "holds", complying.place, complying.HoldAsked, "Refuse what is in a scope, until it is released or expires"
        ),
        _told("holds/{hold}/release", complying.release, "End a hold before its time"),
        _said("attestations", complying.attest, complying.AttestationAsked, "A verdict on a control, for a time"),
        _said("exports", complying.export, complying.ExportAsked, "Say that you took an audit bundle"),
        Route(
            method="POST",
            path="/v1/tenants/{tenant}/erasures",
            serve=tenants.erase,
            summary="Erase a part of a receipt; its commitment stays",
            takes=(tenants.ErasureAsked,),
            answers=(tenants.Erased,),
            reasons=("compliance_closed", *_KEYED),
            keyed=True,
            writes=True,
            body="own",
        ),
        Route(
            method="GET",
            path="/v1/policies/{digest}",
            serve=tenants.policy,
            summary="The plans file of a receipt's policy",
            media="application/yaml",
        ),
        Route(
            method="GET",
            path="/problems/{reason}",
            serve=probes.meaning,
            summary="What a problem's reason means",
            answers=(probes.Meaning,),
        ),
    )
    return (*table, _openapi_route(table))


def _told(path: str, serve: Handler, summary: str, reasons: tuple[str, ...] = ()) -> Route:
    """What an operator tells a governor, in a body that may be left out."""
    return Route(
        method="POST",
        path=f"/v1/tenants/{{tenant}}/{path}",
        serve=serve,
        summary=summary,
        takes=(governing.WordAsked,),
        body_optional=True,
        answers=(Sealed,),
        reasons=("invalid_transition", *reasons, *_KEYED),
        keyed=True,
        writes=True,
        body="own",
    )


def _said(path: str, serve: Handler, takes: type, summary: str) -> Route:
    """What is said of a tenant's compliance."""
    return Route(
        method="POST",
        path=f"/v1/tenants/{{tenant}}/{path}",
        serve=serve,
        summary=summary,
        takes=(takes,),
        answers=(Sealed,),
        reasons=("invalid_time", "invalid_transition", *_KEYED),
        keyed=True,
        writes=True,
        body="own",
    )


def _openapi_route(table: tuple[Route, ...]) -> Route:
    """Describes the whole table, itself included; made when it is first asked for."""
    made: list[bytes] = []

    async def serve(exchange: Exchange, door: FrontDoor) -> Reply:
        if not made:
            made.append(openapi.document((*table, route), version=door.version))
        return Reply(200, made[0])

    route = Route(method="GET", path="/openapi.json", serve=serve, summary="This interface, as OpenAPI 3.1")
    return route


class Router:
    """Finds the route of a request."""

    def __init__(self, table: Sequence[Route]) -> None:
        methods: dict[str, dict[str, Route]] = {}
        for route in table:
            methods.setdefault(route.path, {})[route.method] = route
            if route.method == "GET":
                methods[route.path]["HEAD"] = route
        self._fixed = {path: found for path, found in methods.items() if "{" not in path}
        self._patterns = [(compile_path(path)[0], found) for path, found in methods.items() if "{" in path]

    def find(self, exchange: Exchange) -> Route:
        """Sets the exchange's parameters. Raises TurnedAway(not_found, method_not_allowed)."""
        found = self._fixed.get(exchange.path) or self._match(exchange)
        if found is None:
            raise TurnedAway("not_found", NO_SUCH_PATH)
        route = found.get(exchange.method)
        if route is None:
            allowed = ", ".join(sorted(found))
            allow = (b"allow", allowed.encode("ascii"))
            raise TurnedAway("method_not_allowed", f"this path has {allowed}", headers=(allow,))
        return route

    def _match(self, exchange: Exchange) -> dict[str, Route] | None:
        for pattern, found in self._patterns:
            match = pattern.match(exchange.path)
            if match is not None:
                exchange.parameters = match.groupdict()
                return found
        return None
