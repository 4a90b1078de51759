"""
Which addresses a webhook may go to: those of the public internet, and those that the operator allowed.

    name --resolve once--> addresses --each is judged--> the judged address is dialled, never the name again
"""

import ipaddress
from collections.abc import Iterable
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_V4_REFUSED: Final = tuple(
    ipaddress.IPv4Network(each)
    for each in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # public by its number, and the metadata of one cloud's machines by its use
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
"""IANA's registry of special-purpose addresses (RFC 6890) and multicast."""

_V6_GLOBAL: Final = ipaddress.IPv6Network("2000::/3")
_V6_REFUSED: Final = tuple(
    ipaddress.IPv6Network(each)
    for each in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)
"""Of the global ones: those of protocols, documentation, and 6to4, whose packets end at any IPv4 address."""
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def address_of(text: str) -> Address:
    """
    The address that packets reach: an IPv4 address that is written as IPv6 (mapped, NAT64 of RFC 6052) is that one.

    Raises ValueError.
    """
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether it is somebody's place on the internet, and nothing of this machine, its network or its cloud."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in each for each in _V4_REFUSED)
    return address in _V6_GLOBAL and not any(address in each for each in _V6_REFUSED)


def is_allowed(address: Address, allowed: Iterable[Network]) -> bool:
    """Whether the operator named a network that it lies in."""
    return any(address in each for each in allowed)
