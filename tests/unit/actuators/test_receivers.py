"""A webhook's URL, as far as it can be judged without looking anything up."""

import ipaddress

import pytest

from tai_autonomics.actuators.receivers import dialled, receiver, secrets_of


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "neither https"),
        ("hooks.example.com", "neither https"),
        ("//hooks.example.com/", "neither https"),
        ("ftp://hooks.example.com/", "neither https"),
        ("https:///path", "neither https"),
        ("https://user:password@hooks.example.com/", "a user or a password"),
        ("https://token@hooks.example.com/", "a user or a password"),
        ("https://hooks.example.com:0/", "port"),
        ("https://hooks.example.com:65536/", "port"),
        ("https://hooks.example.com:-1/", "is none"),
        ("https://hooks example.com/", "a %"),
        ("https://[fe80::1%25eth0]/", "a %"),
        ("https://[::1/", "is none"),
        ("https://١٢٧.0.0.1/", "is none"),
        ("https://hooks.example.com/\r\nhost: x", "is none"),
        ("https://hooks.example.com/" + "x" * 2_048, "2000 characters"),
    ],
)
def test_a_url_that_is_no_good_is_told_without_being_quoted(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refusal:
        receiver(url)
    assert "example" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "host", "port", "authority"),
    [
        ("https://hooks.example.com/a?b=c", "hooks.example.com", 443, "hooks.example.com"),
        ("http://hooks.example.com", "hooks.example.com", 80, "hooks.example.com"),
        ("HTTPS://HOOKS.example.com:8443/", "hooks.example.com", 8443, "hooks.example.com:8443"),
        ("https://bücher.example/", "xn--bcher-kva.example", 443, "xn--bcher-kva.example"),
        ("https://[2606:4700::1111]:8443/", "2606:4700::1111", 8443, "[2606:4700::1111]:8443"),
        ("https://2130706433/", "2130706433", 443, "2130706433"),
    ],
)
def test_a_good_url_names_host_port_and_authority(url: str, host: str, port: int, authority: str) -> None:
    to = receiver(url)
    assert (to.host, to.port, to.authority) == (host, port, authority)


@pytest.mark.parametrize(
    ("address", "url"),
    [("203.0.113.7", "https://203.0.113.7:8443/a?b=c"), ("2606:4700::1111", "https://[2606:4700::1111]:8443/a?b=c")],
)
def test_the_address_is_dialled_in_place_of_the_name(address: str, url: str) -> None:
    to = receiver("https://hooks.example.com:8443/a?b=c#d")
    assert str(dialled(to, ipaddress.ip_address(address))) == url


def test_a_receiver_has_its_own_secrets_or_those_of_every_other() -> None:
    secrets = {"hooks.example.com": (b"a", b"b"), "*": (b"c",)}
    assert secrets_of(receiver("https://Hooks.Example.com./"), secrets) == (b"a", b"b")
    assert secrets_of(receiver("https://example.com/"), secrets) == (b"c",)
    with pytest.raises(ValueError, match="no secret"):
        secrets_of(receiver("https://example.com/"), {"hooks.example.com": (b"a",)})
