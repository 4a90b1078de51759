"""A receipt for a person: one line in a list, or everything that it says."""

from typing import Any

import msgspec
from msgspec import Struct


class _Part(Struct):
    text: str


class _Line(Struct):
    receipt: dict[str, Any]
    hash: str
    parts: dict[str, _Part] = {}


def summary_of(line: bytes) -> str:
    """Seq, time, hash, what about, what came of it."""
    shown = msgspec.json.decode(line, type=_Line)
    body = shown.receipt
    subject = f"{body['subject']['kind']}/{body['subject']['id']}"
    return f"{body['seq']:>6}  {body['time']}  {shown.hash}  {subject:<24}  {_outcome(body)}"


def _outcome(body: dict[str, Any]) -> str:
    if "refusal" in body:
        return f"refused: {body['refusal']['reason']}"
    events = [event["type"] for event in body["events"]]
    return ", ".join(events) if events else body["type"]


def lines_of(line: bytes) -> list[str]:
    """A line for each thing that the receipt says."""
    shown = msgspec.json.decode(line, type=_Line)
    body, decision, cause = shown.receipt, shown.receipt["decision"], shown.receipt["cause"]
    lines = [
        f"receipt   {body['seq']} of {body['tenant']}",
        f"hash      {shown.hash}",
        f"prev      {body['prev']}",
        f"time      {body['time']}",
        f"type      {body['type']}",
        f"subject   {body['subject']['kind']}/{body['subject']['id']}",
        f"cause     {cause['kind']} {cause['id']} by {cause['by']}",
    ]
    if "from" in decision or "to" in decision:
        lines.append(f"state     {decision.get('from', 'none')} -> {decision.get('to', 'none')}")
    lines += [f"gate      {_gate(gate)}" for gate in decision.get("gates", ())]
    lines += [f"event     {_event(event)}" for event in body["events"]]
    if "refusal" in body:
        refusal = body["refusal"]
        lines += [f"refused   {refusal['reason']}: {refusal['detail']}", f"next step {refusal['next_step']}"]
    lines.append(f"policy    {body['policy']}")
    if "trace" in body:
        lines.append(f"trace     {body['trace']}")
    for name in body.get("commits", ()):
        lines.append(f"part      {name}: {shown.parts[name].text if name in shown.parts else '(erased)'}")
    return lines


def _gate(gate: dict[str, Any]) -> str:
    return f"{gate['gate']}: {'passed' if gate['passed'] else 'FAILED'} {_json(gate['evidence'])}"


def _event(event: dict[str, Any]) -> str:
    values = {name: value for name, value in event.items() if name != "type"}
    return f"{event['type']} {_json(values)}"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
