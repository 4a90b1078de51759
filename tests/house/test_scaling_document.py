"""
docs/SCALING.md shows what benchmarks/results hold, and the constants that its words name are those of the code.

`python -m benchmarks --table` writes its tables anew.
"""

import re

import pytest
from benchmarks import ladder, scaling
from benchmarks.measure import RESULTS
from benchmarks.table import result_of

from tai_autonomics.settings import TABLE
from tai_autonomics.stores.firestore import documents
from tai_autonomics.stores.firestore.store import BOUNDS
from tai_autonomics.stores.postgres.store import APPENDS_AT_ONCE_MAX

TEXT = scaling.DOCUMENT.read_text()


def test_its_tables_are_those_of_the_results() -> None:
    assert scaling.with_tables(TEXT) == TEXT, "write them anew: python -m benchmarks --table"


def test_a_marker_that_is_gone_is_told() -> None:
    with pytest.raises(ValueError, match="ladder"):
        scaling.with_tables(TEXT.replace("<!-- ladder: end -->", ""))


def test_it_names_no_setting_that_nothing_reads() -> None:
    known = {setting.name for setting in TABLE.values()}
    assert set(re.findall(r"\bTAI_[A-Z_]+\b", TEXT)) - known == set()


def test_the_simulation_has_the_bounds_of_the_code() -> None:
    assert documents.SHARDS == ladder.SHARDS
    results = (result_of(RESULTS / f"{name}.json") for name in ("STORES", "P1"))
    made = ladder.engines(*results)
    firestore = made[ladder.EMULATOR]
    assert (firestore.appends_at_once, firestore.receipts_per_tenant) == (
        BOUNDS.appends_at_once_max,
        BOUNDS.receipts_per_tenant_max,
    )
    assert made[ladder.POSTGRESQL].appends_at_once == APPENDS_AT_ONCE_MAX


def test_the_words_have_the_bounds_of_the_code() -> None:
    for said in (
        f"{BOUNDS.receipts_per_tenant_max} receipts a commit",
        f"{documents.SHARDS} shards",
        f"{int(documents.SHARDS * ladder.SHARD_COMMITS_PER_SECOND):,} commits a second",
        f"{APPENDS_AT_ONCE_MAX} appends at once",
        f"{ladder.ramp_minutes(8_000):.0f} minutes",
        f"{ladder.ramp_minutes(32_000):.0f} minutes",
    ):
        assert said in TEXT, said
