"""
The trace that an attempt of an action goes on with: that of the receipt which asked for it.

    action id --the seq in it--> receipt --its trace, its hash--> the decision's span --> the attempt's, within it

Whichever instance attempts it, however much later: the receipt says it all but whether the trace is sampled.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from tai_autonomics.application.ports import NO_HEADERS, Observer, Span, SpanContext, Store, Tracer
from tai_autonomics.application.sealing import request_seq
from tai_autonomics.domain.actions import Action, type_of
from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.ledger.receipt import read


class Trail(Struct, frozen=True):
    """What an attempt goes on with: the span of the decision that asked for it, and its own where it is recorded."""

    decision: SpanContext | None = None
    span: Span | None = None

    @property
    def trace(self) -> str | None:
        """For the receipts of an attempt that is recorded."""
        return None if self.span is None else self.span.context.trace

    def call(self, name: str) -> "Trail":
        """The call that reaches out."""
        return NO_TRAIL if self.decision is None else Trail(self.decision, self.span and self.span.call(name))

    def headers(self) -> Mapping[str, str]:
        """For the receiver: also of a trace that is not recorded here it hears, and that it is not."""
        context = self.decision if self.span is None else self.span.context
        return NO_HEADERS if context is None else headers_of(context)

    def end(self, problem: str = "", **facts: str | int) -> None:
        if self.span is not None:
            self.span.end(problem, **facts)


NO_TRAIL: Final = Trail()


class Trails:
    """Finds the trail of an action, where traces are kept."""

    def __init__(self, store: Store, tracer: Tracer, observer: Observer) -> None:
        self._store, self._tracer, self._observer = store, tracer, observer

    async def of(self, action: Action, attempt: int) -> Trail:
        """Its attempt's; an action goes on without where its receipt cannot be read, is archived, or has no trace."""
        try:
            decision = await self._decision(action)
        except StoreUnavailable:
            self._observer.store_failed("receipt")
            return NO_TRAIL
        except Exception as error:  # noqa: BLE001  # whatever it is, the action is worth more than its trace
            self._observer.failed("trails", error)
            return NO_TRAIL
        if decision is None:
            return NO_TRAIL
        name = f"attempt {type_of(action.order)}"
        span = self._tracer.attempt(decision, name, tenant=action.tenant, action=action.id, attempt=attempt)
        return Trail(decision, span)

    async def _decision(self, action: Action) -> SpanContext | None:
        seq = request_seq(action.id)
        receipt = None if seq is None else await self._store.receipt(action.tenant, seq)
        trace = None if receipt is None else read(receipt.body).get("trace")
        return None if receipt is None or trace is None else self._tracer.decision(trace, receipt)


def headers_of(context: SpanContext) -> dict[str, str]:
    """W3C Trace Context, sections 3.2 and 3.3; what nobody has said of sampling is told as no."""
    headers = {"traceparent": f"00-{context.trace}-{context.span}-{'01' if context.sampled else '00'}"}
    return headers | {"tracestate": context.state} if context.state else headers
