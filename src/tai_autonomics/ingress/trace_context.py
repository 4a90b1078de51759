"""
What a caller says of the trace that its request belongs to.

    traceparent, tracestate (W3C) --or, where there is no valid one--> X-Cloud-Trace-Context (Google) --> SpanContext
"""

import re
from typing import Final

from tai_autonomics.application.ports import SpanContext

STATE_BYTES_MAX: Final = 512
"""Of `tracestate`: a longer one is dropped whole (W3C Trace Context, section 3.3.1.5 asks for no more)."""
_TRACEPARENT: Final = re.compile(rb"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_CLOUD: Final = re.compile(rb"([0-9A-Fa-f]{32})(?:/([0-9]{1,20}))?(?:;o=([0-9]))?")
_STATE: Final = re.compile(rb"[\x20-\x7e\t]*")
_NO_TRACE: Final = b"0" * 32
_NO_SPAN: Final = b"0" * 16
_SPANS: Final = 1 << 64

Headers = dict[bytes, bytes]
Fields = list[tuple[bytes, bytes]]


def context_of(headers: Headers, fields: Fields) -> SpanContext | None:
    """The caller's span, or None when it names no trace. `fields` are all of the headers, in the order they came."""
    if (text := headers.get(b"traceparent")) is not None and (context := _w3c(text, headers, fields)) is not None:
        return context
    cloud = headers.get(b"x-cloud-trace-context")
    return None if cloud is None else _google(cloud)


def _w3c(text: bytes, headers: Headers, fields: Fields) -> SpanContext | None:
    """W3C Trace Context, section 3.2: version 00 as it is, a later one as far as it is the same."""
    match = _TRACEPARENT.fullmatch(text.strip())
    if match is None or (match[5] is not None and match[1] == b"00"):
        return None
    trace, span, flags = match[2], match[3], match[4]
    if trace == _NO_TRACE or span == _NO_SPAN:
        return None
    state = _state(fields) if b"tracestate" in headers else ""
    return SpanContext(trace.decode("ascii"), span.decode("ascii"), bool(int(flags, 16) & 1), state)


def _state(fields: Fields) -> str:
    """The fields of that name as one (RFC 9110, section 5.3)."""
    whole = b",".join([value.strip() for name, value in fields if name == b"tracestate"])
    return whole.decode("ascii") if len(whole) <= STATE_BYTES_MAX and _STATE.fullmatch(whole) else ""


def _google(text: bytes) -> SpanContext | None:
    """TRACE_ID/SPAN_ID;o=OPTIONS: the span's id is decimal, and who leaves the options out has not decided."""
    match = _CLOUD.fullmatch(text.strip())
    if match is None or match[1] == _NO_TRACE:
        return None
    number = int(match[2] or 0)
    span = f"{number:016x}" if 0 < number < _SPANS else ""
    sampled = None if match[3] is None else match[3] == b"1"
    return SpanContext(match[1].decode("ascii").lower(), span, sampled)
