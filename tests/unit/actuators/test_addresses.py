"""Which addresses a webhook may go to."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tai_autonomics.actuators.addresses import address_of, is_allowed, is_public


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.255.255.250",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_what_is_not_the_public_internet_is_not_public(text: str) -> None:
    assert not is_public(address_of(text))


@pytest.mark.parametrize(
    "text", ["1.1.1.1", "172.15.255.255", "172.32.0.0", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"]
)
def test_the_public_internet_is_public(text: str) -> None:
    assert is_public(address_of(text))


@given(st.ip_addresses())
def test_whatever_the_library_knows_to_be_special_is_not_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    address = address_of(str(address))
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert not is_public(address)


@pytest.mark.parametrize(
    ("text", "reached"), [("::ffff:10.0.0.1", "10.0.0.1"), ("64:ff9b::a00:1", "10.0.0.1"), ("::1", "::1")]
)
def test_an_ipv4_address_in_an_ipv6_one_is_that_address(text: str, reached: str) -> None:
    assert address_of(text) == ipaddress.ip_address(reached)


def test_a_network_that_the_operator_named_is_allowed_and_no_other() -> None:
    allowed = (ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("::1/128"))
    assert [is_allowed(address_of(each), allowed) for each in ("10.1.2.3", "::ffff:10.1.2.3", "10.2.0.1", "::1")] == [
        True,
        True,
        False,
        True,
    ]
