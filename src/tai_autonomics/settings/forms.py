"""What a value may look like: each form reads a text, or says what is wrong with it without naming the text."""

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import Struct


class Form(Struct, frozen=True):
    """What a value may look like. `parse` raises ValueError with what is wrong, without naming the value."""

    allowed: str
    parse: Callable[[str], object]


class Setting(Struct, frozen=True):
    """One environment variable. A secret is never quoted in an error, is shown masked, and may come from NAME_FILE."""

    name: str
    form: Form
    default: str | None
    doc: str
    dev_default: str | None = None
    secret: bool = False


class Networks(Struct, frozen=True):
    """Networks of addresses."""

    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

    def __str__(self) -> str:
        return ",".join(map(str, self.networks))


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int


def whole(minimum: int, maximum: int, unit: str) -> Form:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,15}", text):
            raise ValueError("is not a whole number")
        if not minimum <= int(text) <= maximum:
            raise ValueError("is out of bounds")
        return int(text)

    return Form(f"{unit}, a whole number from {minimum} to {maximum}", parse)


def seconds(minimum: float, maximum: float) -> Form:
    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text):
            raise ValueError("is not a number")
        if not minimum <= float(text) <= maximum:
            raise ValueError("is out of bounds")
        return float(text)

    return Form(f"seconds, a number from {minimum:g} to {maximum:g}", parse)


def share() -> Form:
    def parse(text: str) -> float:
        if not re.fullmatch(r"[01](\.[0-9]{1,6})?", text):
            raise ValueError("is not a share")
        if float(text) > 1:
            raise ValueError("is out of bounds")
        return float(text)

    return Form("a number from 0 to 1, with at most six decimals", parse)


def one_of(*choices: str) -> Form:
    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError("is none of them")
        return text.lower()

    return Form(" or ".join(choices), parse)


def matching(pattern: str, allowed: str) -> Form:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError("has another form")
        return text

    return Form(allowed, parse)


def parse_path(text: str) -> Path:
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        raise ValueError("is a URL; this release reads files only")
    if not text.isprintable() or text.startswith(("{", "-----BEGIN")):
        raise ValueError("is the content of a file; give its path")
    return Path(text)


def parse_jwks_url(text: str) -> str:
    place, query = r"(?:/[\x21\x24-\x3e\x40-\x7e]*)?", r"(?:\?[\x21\x24-\x7e]*)?"
    if not re.fullmatch(rf"https://[A-Za-z0-9.-]+(?::[0-9]{{1,5}})?{place}{query}", text):
        raise ValueError("is no such URL")
    return text


def parse_otlp_url(text: str) -> str:
    """A base URL, without the slash at its end."""
    if not re.fullmatch(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]*)?", text):
        raise ValueError("is no such URL")
    return text.rstrip("/")


def parse_listening(text: str) -> Address | None:
    if text.lower() == "off":
        return None
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})", text)
    if found is None:
        raise ValueError("is not host:port")
    if int(found[3]) > 65535:
        raise ValueError("has a port above 65535")
    return Address(found[1] or found[2], int(found[3]))


def parse_networks(text: str) -> Networks:
    return Networks(tuple(map(_parse_network, text.split(","))))


def _parse_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text.strip())
    except ValueError as error:
        raise ValueError("holds something that is no network") from error


MEBIBYTE: Final = 1024 * 1024
