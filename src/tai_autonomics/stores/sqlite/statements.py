"""
The SQL of the SQLite store, and how an append becomes statements.

`sqlite3` gives up the interpreter's lock at every statement, and beside a busy event loop each return can cost a
switch interval (5 ms). So many rows travel in one statement, written out once for every width (docs/adr/0003).
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Final

from msgspec.structs import astuple

from tai_autonomics.ledger.records import Append

Statement = tuple[str, Sequence[Any] | Mapping[str, Any]]

WIDTH_MAX: Final = 64
"""Rows in one statement: at 64, 12 columns stay far under SQLite's 32,766 variables and compile in 0.3 ms, once."""


def _widths(statement: str, columns: int) -> tuple[str, ...]:
    """The statement for 0, 1, 2, … WIDTH_MAX rows."""
    row = f"({', '.join('?' * columns)})"
    return tuple(statement.replace("ROWS", ", ".join([row] * width)) for width in range(WIDTH_MAX + 1))


INSERT_RECEIPTS: Final = _widths(
    """
    INSERT INTO receipts
        (tenant, ledger, seq, hash, time, type, subject_kind, subject_id, command_id, claims, body)
    VALUES ROWS
    """,
    11,
)
# Joined, not "(tenant, subject, kind) IN (VALUES …)": for that SQLite reads the whole table.
DELETE_DUE: Final = _widths(
    """
    DELETE FROM due WHERE id IN (
        SELECT due.id FROM (VALUES ROWS) AS settled CROSS JOIN due
            ON due.tenant = settled.column1 AND due.subject = settled.column2 AND due.kind = settled.column3
    )
    """,
    3,
)
UPSERT_DUE: Final = _widths(
    """
    INSERT INTO due (tenant, subject, kind, due, ready, payload) VALUES ROWS
    ON CONFLICT (tenant, subject, kind) DO UPDATE
    SET due = excluded.due, ready = excluded.ready, attempts = 0, payload = excluded.payload
    """,
    6,
)
INSERT_PARTS: Final = _widths("INSERT INTO parts (tenant, seq, name, salt, text) VALUES ROWS", 5)
# The new row is as long as the old one, so that SQLite overwrites it in its place.
ERASE_PARTS: Final = _widths(
    """
    UPDATE parts SET erased = 1, salt = zeroblob(length(salt)), text = zeroblob(length(text))
    WHERE id IN (
        SELECT parts.id FROM (VALUES ROWS) AS gone CROSS JOIN parts
            ON parts.tenant = gone.column1 AND parts.seq = gone.column2 AND parts.name = gone.column3
    )
    """,
    3,
)
UPSERT_SNAPSHOTS: Final = _widths(
    """
    INSERT INTO snapshots (tenant, seq, ledger, hash, time, state_version, state) VALUES ROWS
    ON CONFLICT (tenant) DO UPDATE
    SET seq = excluded.seq, ledger = excluded.ledger, hash = excluded.hash, time = excluded.time,
        state_version = excluded.state_version, state = excluded.state
    """,
    7,
)

SELECT_SNAPSHOT: Final = "SELECT seq, ledger, hash, time, state_version, state FROM snapshots WHERE tenant = ?"
SELECT_RECEIPTS: Final = """
    SELECT tenant, ledger, seq, hash, time, type, subject_kind, subject_id, command_id, claims, body
    FROM receipts WHERE tenant = ? AND seq > ? ORDER BY seq LIMIT ?
"""
SELECT_RECEIPTS_FILTERED: Final = """
    SELECT tenant, ledger, seq, hash, time, type, subject_kind, subject_id, command_id, claims, body
    FROM receipts
    WHERE tenant = :tenant AND seq > :after
        AND (:type IS NULL OR type = :type)
        AND (:subject_kind IS NULL OR subject_kind = :subject_kind)
        AND (:subject_id IS NULL OR subject_id = :subject_id)
    ORDER BY seq LIMIT :limit
"""
SELECT_ACTION_RECEIPTS: Final = """
    SELECT tenant, ledger, seq, hash, time, type, subject_kind, subject_id, command_id, claims, body
    FROM receipts
    WHERE tenant = ? AND seq > ?
        AND (type = 'action_attempt' OR type = 'action_result' OR (type = 'transition' AND subject_kind = 'action'))
    ORDER BY seq LIMIT ?
"""
SELECT_ACTION_RECEIPTS_BEFORE: Final = """
    SELECT tenant, ledger, seq, hash, time, type, subject_kind, subject_id, command_id, claims, body
    FROM receipts
    WHERE tenant = ? AND seq < ?
        AND (type = 'action_attempt' OR type = 'action_result' OR (type = 'transition' AND subject_kind = 'action'))
    ORDER BY seq DESC LIMIT ?
"""
SELECT_RECEIPT: Final = """
    SELECT tenant, ledger, seq, hash, time, type, subject_kind, subject_id, command_id, claims, body
    FROM receipts WHERE tenant = ? AND seq = ?
"""
SELECT_CLAIMING: Final = """
    SELECT tenant, ledger, seq, hash, time, type, subject_kind, subject_id, command_id, claims, body
    FROM receipts WHERE tenant = ? AND command_id = ? AND claims = 1
"""
SELECT_HELD: Final = """
    SELECT r.tenant, r.ledger, r.seq, r.hash, r.time, r.type, r.subject_kind, r.subject_id, r.command_id, r.claims,
        r.body
    FROM json_each(?) AS asked CROSS JOIN receipts AS r
        ON r.tenant = json_extract(asked.value, '$[0]') AND r.command_id = json_extract(asked.value, '$[1]')
        AND r.claims = 1
"""
SELECT_HEADS: Final = """
    SELECT r.tenant, r.ledger, r.seq, r.hash, r.time
    FROM json_each(?) AS asked CROSS JOIN receipts AS r
        ON r.id = (SELECT id FROM receipts WHERE tenant = asked.value ORDER BY seq DESC LIMIT 1)
"""
# Leaps from tenant to tenant in the index: as many steps as tenants, however long their ledgers are.
SELECT_TENANTS: Final = """
    WITH RECURSIVE leap (tenant) AS (
        SELECT min(tenant) FROM receipts WHERE tenant > :after
        UNION ALL
        SELECT (SELECT min(tenant) FROM receipts WHERE tenant > leap.tenant) FROM leap WHERE tenant IS NOT NULL
    )
    SELECT tenant FROM leap WHERE tenant IS NOT NULL LIMIT :limit
"""
COUNT_TENANTS: Final = """
    WITH RECURSIVE leap (tenant) AS (
        SELECT min(tenant) FROM receipts WHERE tenant > :after
        UNION ALL
        SELECT (SELECT min(tenant) FROM receipts WHERE tenant > leap.tenant) FROM leap WHERE tenant IS NOT NULL
    )
    SELECT count(tenant) FROM leap
"""
# Those up to a base, which are being dropped, are not the ledger's any more.
COUNT_RECEIPTS: Final = """
    SELECT (SELECT count(*) FROM receipts)
        - (SELECT count(*) FROM bases AS b CROSS JOIN receipts AS r ON r.tenant = b.tenant AND r.seq <= b.seq)
"""
SELECT_ERASED: Final = """
    SELECT p.tenant, p.seq, coalesce(r.hash, d.hash), p.name FROM parts AS p
        LEFT JOIN receipts AS r ON r.tenant = p.tenant AND r.seq = p.seq
        LEFT JOIN dropped AS d ON d.tenant = p.tenant AND d.seq = p.seq
    WHERE p.erased AND (r.hash IS NOT NULL OR d.hash IS NOT NULL) ORDER BY p.id
"""
SELECT_BASES: Final = """
    SELECT b.tenant, b.seq, b.ledger, b.hash, b.time, b.state_version, b.state, b.archive
    FROM json_each(?) AS asked CROSS JOIN bases AS b ON b.tenant = asked.value
"""
SELECT_BASED_TENANTS: Final = "SELECT tenant FROM bases WHERE tenant > :after ORDER BY tenant LIMIT :limit"
REBASE: Final = """
    INSERT INTO bases (tenant, seq, ledger, hash, time, state_version, state, archive) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (tenant) DO UPDATE
    SET seq = excluded.seq, ledger = excluded.ledger, hash = excluded.hash, time = excluded.time,
        state_version = excluded.state_version, state = excluded.state, archive = excluded.archive
    WHERE excluded.seq > bases.seq
"""
SELECT_DROPPABLE: Final = """
    SELECT count(*), max(seq) FROM (
        SELECT r.seq FROM bases AS b CROSS JOIN receipts AS r ON r.tenant = b.tenant AND r.seq <= b.seq
        WHERE b.tenant = ? ORDER BY r.seq LIMIT ?
    )
"""
NOTE_DROPPED: Final = """
    INSERT INTO dropped (tenant, seq, hash)
    SELECT r.tenant, r.seq, r.hash FROM receipts AS r
    WHERE r.tenant = ? AND r.seq <= ?
        AND EXISTS (SELECT 1 FROM parts AS p WHERE p.tenant = r.tenant AND p.seq = r.seq)
"""
DROP_RECEIPTS: Final = "DELETE FROM receipts WHERE tenant = ? AND seq <= ?"
SELECT_DROPPED: Final = """
    SELECT d.hash, p.name FROM dropped AS d CROSS JOIN parts AS p ON p.tenant = d.tenant AND p.seq = d.seq
    WHERE d.tenant = ? AND d.seq = ? ORDER BY p.name
"""
SELECT_PARTS: Final = """
    SELECT seq, name, salt, text FROM parts
    WHERE tenant = ? AND seq BETWEEN ? AND ? AND NOT erased ORDER BY seq, name
"""
SELECT_NEWEST_TIME: Final = "SELECT time FROM receipts ORDER BY id DESC LIMIT 1"

SELECT_WITH_DUE: Final = "SELECT DISTINCT tenant FROM due WHERE kind = ? AND tenant > ? ORDER BY tenant LIMIT ?"
EXISTS_READY: Final = "SELECT EXISTS (SELECT 1 FROM due WHERE ready <= ?)"
SELECT_READY: Final = """
    SELECT id, tenant, subject, kind, due, payload, attempts FROM due WHERE ready <= ? ORDER BY ready, id LIMIT ?
"""
# The plus keeps the index of kinds out of it: that holds every timer, also those that are due in a year.
EXISTS_READY_OF: Final = """
    SELECT EXISTS (SELECT 1 FROM due WHERE ready <= ? AND +kind IN (SELECT value FROM json_each(?)))
"""
SELECT_READY_OF: Final = """
    SELECT id, tenant, subject, kind, due, payload, attempts FROM due
    WHERE ready <= ? AND +kind IN (SELECT value FROM json_each(?)) ORDER BY ready, id LIMIT ?
"""
LEASE_DUE: Final = """
    UPDATE due SET attempts = attempts + 1, ready = json_extract(leased.value, '$[1]')
    FROM json_each(?) AS leased WHERE due.id = json_extract(leased.value, '$[0]')
"""

EXISTS_QUARANTINED: Final = "SELECT EXISTS (SELECT 1 FROM quarantine WHERE id = ?)"
INSERT_QUARANTINED: Final = """
    INSERT INTO quarantine (
        id, time, reason, digest, subscription, message_id, "by", tenants, trace, redrives, redrive_at, payload
    )
    SELECT :id, :time, :reason, :digest, :subscription, :message_id, :by, :tenants, :trace, :redrives, :redrive_at,
        :payload
    WHERE (SELECT count(*) FROM quarantine) < :quarantine_max
"""
SELECT_QUARANTINED: Final = """
    SELECT id, time, reason, digest, subscription, message_id, "by", tenants, trace, redrives, redrive_at, payload
    FROM quarantine WHERE id > ? ORDER BY id LIMIT ?
"""
SELECT_QUARANTINED_ONE: Final = """
    SELECT id, time, reason, digest, subscription, message_id, "by", tenants, trace, redrives, redrive_at, payload
    FROM quarantine WHERE id = ?
"""
SELECT_TO_REDRIVE: Final = """
    SELECT id, time, reason, digest, subscription, message_id, "by", tenants, trace, redrives, redrive_at, payload
    FROM quarantine WHERE redrive_at <= ? ORDER BY redrive_at, id LIMIT ?
"""
PUT_OFF_QUARANTINED: Final = """
    UPDATE quarantine SET reason = :reason, redrives = :redrives, redrive_at = :redrive_at WHERE id = :id
"""
COUNT_QUARANTINED: Final = "SELECT count(*) FROM quarantine"
DELETE_QUARANTINED: Final = "DELETE FROM quarantine WHERE id = ?"

KEEP_POLICY: Final = """
    INSERT INTO policies (digest, text, time, place)
    VALUES (?, ?, ?, (SELECT coalesce(max(place), 0) + 1 FROM policies))
    ON CONFLICT (digest) DO UPDATE SET place = excluded.place
"""
SELECT_POLICY: Final = "SELECT text FROM policies WHERE digest = ?"
SELECT_NEWEST_POLICY: Final = "SELECT digest, text FROM policies ORDER BY place DESC LIMIT 1"


def statements_of(appends: Sequence[Append]) -> list[Statement]:
    """The appends as statements, in the order of the port: what is settled goes before what is set anew."""
    return [
        *_batched(INSERT_RECEIPTS, [astuple(receipt) for append in appends for receipt in append.receipts]),
        *_batched(DELETE_DUE, [(a.tenant, key.subject, key.kind) for a in appends for key in a.settled]),
        *_batched(
            UPSERT_DUE,
            [(a.tenant, row.subject, row.kind, row.due, row.due, row.payload) for a in appends for row in a.due],
        ),
        *_batched(INSERT_PARTS, [(a.tenant, *astuple(part)) for a in appends for part in a.parts]),
        *_batched(ERASE_PARTS, [(a.tenant, gone.seq, gone.name) for a in appends for gone in a.erasures]),
        *_batched(UPSERT_SNAPSHOTS, [(a.tenant, *astuple(a.snapshot)) for a in appends if a.snapshot is not None]),
    ]


def _batched(widths: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Iterable[Statement]:
    for start in range(0, len(rows), WIDTH_MAX):
        some = rows[start : start + WIDTH_MAX]
        yield widths[len(some)], tuple(chain.from_iterable(some))
