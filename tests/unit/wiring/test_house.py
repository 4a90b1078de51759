"""What a house keeps in its store when it opens."""

from pathlib import Path

import pytest

from tai_autonomics.domain.plans import Plans
from tai_autonomics.errors import InvalidPlans
from tai_autonomics.settings import Settings
from tai_autonomics.wiring.house import house, open_store

pytestmark = pytest.mark.anyio


async def unfit(plans: Plans) -> None:
    raise InvalidPlans(("plan pro: rule cpu-high: webhook: no secret",))


async def test_plans_that_do_not_fit_are_not_kept_so_that_the_next_start_has_nothing_of_them(tmp_path: Path) -> None:
    settings = Settings.load({"STORE_URL": f"sqlite:///{tmp_path}/tai.db", "TAI_DATA_DIR": str(tmp_path)}).settings
    with pytest.raises(InvalidPlans, match="no secret"):
        async with house(settings, fits=unfit):
            pytest.fail("it opened")
    store = await open_store(settings)
    assert await store.newest_policy() is None
    await store.aclose()
    async with house(settings) as opened:
        newest = await opened.store.newest_policy()
        assert newest is not None
        assert newest[0] == opened.plans().digest
