"""The ids remembered for repeats are bounded, for each tenant and over all."""

from msgspec.structs import replace
from tests.contract.stores.builders import chain, receipt

from tai_autonomics.application.recent import TENANT_IDS_MAX, RecentIds


def test_a_tenants_oldest_ids_leave_first() -> None:
    recent = RecentIds(ids_max=10_000)
    for each in chain("acme", TENANT_IDS_MAX + 2):
        recent.add(each)
    assert [recent.seq_of("acme", f"command-{seq}") for seq in (1, 2, 3, TENANT_IDS_MAX + 2)] == [
        None,
        None,
        3,
        TENANT_IDS_MAX + 2,
    ]


def test_over_all_tenants_the_one_written_longest_ago_leaves() -> None:
    recent = RecentIds(ids_max=4)
    for tenant in ("a", "b", "a", "c"):
        recent.add(receipt(tenant, command_id=f"{tenant}-first"))
        recent.add(receipt(tenant, command_id=f"{tenant}-second"))
    assert [recent.seq_of(tenant, f"{tenant}-second") for tenant in ("a", "b", "c")] == [1, None, 1]


def test_a_receipt_that_does_not_claim_its_id_is_not_remembered() -> None:
    recent = RecentIds(ids_max=4)
    recent.add(replace(receipt("acme", command_id="k"), claims=False))
    assert recent.seq_of("acme", "k") is None


def test_a_forgotten_tenant_makes_room() -> None:
    recent = RecentIds(ids_max=2)
    recent.add(receipt("a", command_id="k"))
    recent.forget("a")
    recent.forget("nobody")
    for key in ("x", "y"):
        recent.add(receipt("b", command_id=key))
    assert [recent.seq_of("a", "k"), recent.seq_of("b", "x"), recent.seq_of("b", "y")] == [None, 1, 1]
