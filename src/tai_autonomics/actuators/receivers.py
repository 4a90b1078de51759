"""Where a webhook goes: a URL, parsed once and by one parser, and the secrets that its receiver knows."""

import ipaddress
from collections.abc import Mapping
from typing import Final

import httpx
from msgspec import Struct

from tai_autonomics.domain.actions import URL_CHARACTERS_MAX

ANY: Final = "*"
"""In place of a host: the secrets of every receiver that has none of its own."""


class Receiver(Struct, frozen=True):
    """`host` is as it is asked for by name (ASCII), without a port; `authority` is what the Host header holds."""

    url: httpx.URL
    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        return self.url.netloc.decode("ascii")

    @property
    def certified_name(self) -> str:
        """Certificates and SNI (RFC 6066 section 3) know no dot at the end of a name."""
        return self.host.rstrip(".")


def receiver(url: str) -> Receiver:
    """Raises ValueError with what is wrong, without quoting the URL: its path or query may hold a token."""
    if len(url) > URL_CHARACTERS_MAX:
        raise ValueError(f"the URL has more than {URL_CHARACTERS_MAX} characters")
    try:
        parsed = httpx.URL(url)
        host, authority = parsed.raw_host.decode("ascii"), parsed.netloc
        authority.decode("ascii")
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ValueError("the URL is none") from error
    if parsed.scheme not in ("https", "http") or not host:
        raise ValueError("the URL is neither https://host/… nor http://host/…")
    if parsed.userinfo:
        raise ValueError("the URL holds a user or a password")
    if "%" in host:
        raise ValueError("the URL's host holds a %")
    if parsed.port is not None and not 1 <= parsed.port <= 65_535:
        raise ValueError("the URL's port is none")
    return Receiver(parsed, parsed.scheme, host, parsed.port or (443 if parsed.scheme == "https" else 80))


def dialled(receiver: Receiver, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> httpx.URL:
    """The URL with the address in place of the name: nothing is looked up again."""
    return receiver.url.copy_with(host=str(address), port=receiver.port, fragment=None)


def secrets_of(receiver: Receiver, secrets: Mapping[str, tuple[bytes, ...]]) -> tuple[bytes, ...]:
    """Those that sign what goes there, by hosts in lower case. Raises ValueError where there are none."""
    found = secrets.get(receiver.certified_name.lower(), secrets.get(ANY, ()))
    if not found:
        raise ValueError("TAI_WEBHOOK_SIGNING_SECRETS has no secret for the receiver")
    return found
