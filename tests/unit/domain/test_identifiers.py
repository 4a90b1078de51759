from collections.abc import Callable

import pytest

from tai_autonomics.domain.identifiers import (
    FLEET,
    parse_entitlement_id,
    parse_ledger,
    parse_name,
    parse_tenant_id,
)
from tai_autonomics.errors import Malformed

PARSERS = [
    (parse_tenant_id, "invalid_tenant_id"),
    (parse_entitlement_id, "invalid_entitlement_id"),
    (parse_name, "malformed_request"),
]
GOOD = ["a", "7", "acme-corp", "A.b_c:d@e-f", "x" * 128]
BAD = ["", " ", "-a", ".a", "a b", "a/b", "a\n", "\na", "ä", "aä", "x" * 129, "a\x00", "٣", "\ud800", "a,b"]


@pytest.mark.parametrize(("parse", "reason"), PARSERS)
@pytest.mark.parametrize("text", GOOD)
def test_an_identifier_keeps_its_text(parse: Callable[[str], str], reason: str, text: str) -> None:
    assert parse(text) == text


@pytest.mark.parametrize(("parse", "reason"), PARSERS)
@pytest.mark.parametrize("text", BAD)
def test_a_bad_identifier_is_malformed(parse: Callable[[str], str], reason: str, text: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse(text)
    assert caught.value.reason == reason


def test_the_fleets_ledger_can_be_read_by_its_name_and_no_other_that_is_reserved() -> None:
    assert (parse_ledger(FLEET), parse_ledger("acme")) == ("~fleet", "acme")
    for text in ("~", "~fleets", "~other", " ~fleet", ""):
        with pytest.raises(Malformed):
            parse_ledger(text)
