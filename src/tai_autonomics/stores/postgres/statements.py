"""
The SQL of the PostgreSQL store, and how appends become its parameters.

Many rows travel as one array a column, in the binary format (%b). Nothing is prepared and nothing outlives its
transaction, so that a pooler may give every transaction another session.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from msgspec.structs import astuple

from tai_autonomics.ledger.records import GENESIS, Append, Due, Part

BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
COMMIT: Final = "COMMIT"

# As SET LOCAL does. What a server's own settings say of durability is not ours to trust.
LIMIT: Final = """
    SELECT set_config('statement_timeout', '5s', true), set_config('lock_timeout', '2s', true),
        set_config('idle_in_transaction_session_timeout', '10s', true), set_config('synchronous_commit', 'on', true)
"""
# Also for appends: rows are found by their keys, however old the planner's statistics are. By them alone, a table that
# grew since would be read whole.
LIMIT_APPEND: Final = """
    SELECT set_config('statement_timeout', '5s', true), set_config('lock_timeout', '2s', true),
        set_config('idle_in_transaction_session_timeout', '10s', true), set_config('synchronous_commit', 'on', true),
        set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
        set_config('enable_mergejoin', 'off', true)
"""
# Whatever follows a lost head row is written to the journal behind it: the receipt's commit makes both durable.
WITHOUT_WAITING: Final = "SET LOCAL synchronous_commit = off"

# For one session that copies a store or brings it back, however long that takes; only a lock is not waited for.
UNLIMITED: Final = """
    SELECT set_config('statement_timeout', '0', false), set_config('idle_in_transaction_session_timeout', '0', false),
        set_config('idle_session_timeout', '0', false), set_config('lock_timeout', '10s', false),
        set_config('synchronous_commit', 'on', false)
"""

# What is put in is a constant of our own, and no statement is made later.
MAKE_HEADS: Final = f"""
    INSERT INTO tai.heads (tenant, ledger, seq, hash, time)
    SELECT tenant, '', 0, '{GENESIS}', '' FROM unnest(%b::text[]) AS new (tenant) ORDER BY tenant COLLATE "C"
    ON CONFLICT (tenant) DO NOTHING
"""  # noqa: S608  # nosec B608
LOCK_HEADS: Final = """
    SELECT tenant, ledger, seq, hash, time FROM tai.heads WHERE tenant = ANY(%b::text[])
    ORDER BY tenant FOR UPDATE SKIP LOCKED
"""
LOCK_HEAD: Final = "SELECT 1 FROM tai.heads WHERE tenant = %b::text FOR UPDATE"
# LIMIT keeps the look-up in the index of command ids, one step for each id asked for.
SELECT_HELD: Final = """
    SELECT held.* FROM unnest(%b::text[], %b::text[]) AS asked (tenant, command_id) CROSS JOIN LATERAL (
        SELECT tenant, ledger, seq, hash, time, type, subject_kind, subject_id, command_id, claims, body
        FROM tai.receipts AS r
        WHERE r.tenant = asked.tenant AND r.command_id = asked.command_id AND r.claims LIMIT 1
    ) AS held
"""
SELECT_KNOWN: Final = "SELECT tenant FROM tai.heads WHERE tenant = ANY(%b::text[])"

INSERT_RECEIPTS: Final = """
    INSERT INTO tai.receipts
        (tenant, ledger, seq, hash, time, type, subject_kind, subject_id, command_id, claims, body)
    SELECT * FROM unnest(
        %b::text[], %b::text[], %b::bigint[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[],
        %b::boolean[], %b::bytea[]
    )
"""
# Every row is there and locked. Not an UPDATE with a join: the conflict finds the row by its key, in any plan.
UPDATE_HEADS: Final = """
    INSERT INTO tai.heads (tenant, ledger, seq, hash, time)
    SELECT * FROM unnest(%b::text[], %b::text[], %b::bigint[], %b::text[], %b::text[])
    ON CONFLICT (tenant) DO UPDATE
    SET ledger = excluded.ledger, seq = excluded.seq, hash = excluded.hash, time = excluded.time
"""
DELETE_DUE: Final = """
    DELETE FROM tai.due USING unnest(%b::text[], %b::text[], %b::text[]) AS settled (tenant, subject, kind)
    WHERE due.tenant = settled.tenant AND due.subject = settled.subject AND due.kind = settled.kind
"""
UPSERT_DUE: Final = """
    INSERT INTO tai.due (tenant, subject, kind, due, ready, payload)
    SELECT tenant, subject, kind, due, due, payload
    FROM unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::bytea[])
        AS set (tenant, subject, kind, due, payload)
    ON CONFLICT (tenant, subject, kind) DO UPDATE
    SET due = excluded.due, ready = excluded.ready, attempts = 0, payload = excluded.payload
"""
UPSERT_PARTS: Final = """
    INSERT INTO tai.parts (tenant, seq, name, salt, text)
    SELECT * FROM unnest(%b::text[], %b::bigint[], %b::text[], %b::bytea[], %b::bytea[])
    ON CONFLICT (tenant, seq, name) DO UPDATE SET salt = excluded.salt, text = excluded.text
"""
ERASE_PARTS: Final = """
    WITH gone AS MATERIALIZED (
        SELECT * FROM unnest(%b::text[], %b::bigint[], %b::text[]) AS gone (tenant, seq, name)
    ), noted AS (
        INSERT INTO tai.erased (tenant, seq, name) SELECT tenant, seq, name FROM gone ON CONFLICT DO NOTHING
    )
    DELETE FROM tai.parts USING gone
    WHERE parts.tenant = gone.tenant AND parts.seq = gone.seq AND parts.name = gone.name
"""
UPSERT_SNAPSHOTS: Final = """
    INSERT INTO tai.snapshots (tenant, seq, ledger, hash, time, state_version, state)
    SELECT * FROM unnest(
        %b::text[], %b::bigint[], %b::text[], %b::text[], %b::text[], %b::integer[], %b::bytea[]
    )
    ON CONFLICT (tenant) DO UPDATE
    SET seq = excluded.seq, ledger = excluded.ledger, hash = excluded.hash, time = excluded.time,
        state_version = excluded.state_version, state = excluded.state
"""

SELECT_SNAPSHOT: Final = """
    SELECT seq, ledger, hash, time, state_version, state FROM tai.snapshots WHERE tenant = %b::text
"""
# LIMIT NULL is no limit.
SELECT_RECEIPTS: Final = """
    SELECT tenant, ledger, seq, hash, time, type, subject_kind, subject_id, command_id, claims, body
    FROM tai.receipts WHERE tenant = %b::text AND seq > %b::bigint ORDER BY seq LIMIT %b::bigint
"""
SELECT_RECEIPTS_FILTERED: Final = """
    SELECT tenant, ledger, seq, hash, time, type, subject_kind, subject_id, command_id, claims, body
    FROM tai.receipts
    WHERE tenant = %(tenant)b::text AND seq > %(after)b::bigint
        AND (%(type)b::text IS NULL OR type = %(type)b::text)
        AND (%(subject_kind)b::text IS NULL OR subject_kind = %(subject_kind)b::text)
        AND (%(subject_id)b::text IS NULL OR subject_id = %(subject_id)b::text)
    ORDER BY seq LIMIT %(limit)b::bigint
"""
SELECT_ACTION_RECEIPTS: Final = """
    SELECT tenant, ledger, seq, hash, time, type, subject_kind, subject_id, command_id, claims, body
    FROM tai.receipts
    WHERE tenant = %b::text AND seq > %b::bigint
        AND (type = 'action_attempt' OR type = 'action_result' OR (type = 'transition' AND subject_kind = 'action'))
    ORDER BY seq LIMIT %b::bigint
"""
SELECT_ACTION_RECEIPTS_BEFORE: Final = """
    SELECT tenant, ledger, seq, hash, time, type, subject_kind, subject_id, command_id, claims, body
    FROM tai.receipts
    WHERE tenant = %b::text AND seq < %b::bigint
        AND (type = 'action_attempt' OR type = 'action_result' OR (type = 'transition' AND subject_kind = 'action'))
    ORDER BY seq DESC LIMIT %b::bigint
"""
SELECT_RECEIPT: Final = """
    SELECT tenant, ledger, seq, hash, time, type, subject_kind, subject_id, command_id, claims, body
    FROM tai.receipts WHERE tenant = %b::text AND seq = %b::bigint
"""
SELECT_CLAIMING: Final = """
    SELECT tenant, ledger, seq, hash, time, type, subject_kind, subject_id, command_id, claims, body
    FROM tai.receipts WHERE tenant = %b::text AND command_id = %b::text AND claims
"""
SELECT_HEADS: Final = """
    SELECT tenant, ledger, seq, hash, time FROM tai.heads WHERE tenant = ANY(%b::text[]) AND seq > 0
"""
SELECT_TENANTS: Final = """
    SELECT tenant FROM tai.heads WHERE tenant > %b::text AND seq > 0 ORDER BY tenant LIMIT %b::bigint
"""
SELECT_WITH_DUE: Final = """
    SELECT DISTINCT tenant FROM tai.due WHERE kind = %b::text AND tenant > %b::text ORDER BY tenant LIMIT %b::bigint
"""
SELECT_PARTS: Final = """
    SELECT seq, name, salt, text FROM tai.parts
    WHERE tenant = %b::text AND seq BETWEEN %b::bigint AND %b::bigint ORDER BY seq, name
"""
SELECT_ERASED_PARTS: Final = """
    SELECT e.tenant, e.seq, coalesce(r.hash, d.hash), e.name
    FROM tai.erased AS e
        LEFT JOIN tai.receipts AS r ON r.tenant = e.tenant AND r.seq = e.seq
        LEFT JOIN tai.dropped AS d ON d.tenant = e.tenant AND d.seq = e.seq
    WHERE r.hash IS NOT NULL OR d.hash IS NOT NULL
    ORDER BY e.tenant, e.seq, e.name
"""
SELECT_BASES: Final = """
    SELECT tenant, seq, ledger, hash, time, state_version, state, archive FROM tai.bases WHERE tenant = ANY(%b::text[])
"""
REBASE: Final = """
    INSERT INTO tai.bases (tenant, seq, ledger, hash, time, state_version, state, archive)
    VALUES (%b::text, %b::bigint, %b::text, %b::text, %b::text, %b::integer, %b::bytea, %b::text)
    ON CONFLICT (tenant) DO UPDATE
    SET seq = excluded.seq, ledger = excluded.ledger, hash = excluded.hash, time = excluded.time,
        state_version = excluded.state_version, state = excluded.state, archive = excluded.archive
    WHERE excluded.seq > bases.seq
"""
# Of a ledger that is not begun; a head that stands is not even locked.
BEGIN_HEAD: Final = """
    UPDATE tai.heads SET seq = %b::bigint, ledger = %b::text, hash = %b::text, time = %b::text
    WHERE tenant = %b::text AND seq = 0
"""
# By the range of keys: a join may read a whole table whose statistics are old.
DROP_RECEIPTS: Final = """
    WITH going AS MATERIALIZED (
        SELECT r.seq FROM tai.receipts AS r
        WHERE r.tenant = %(tenant)b::text AND r.seq <= (SELECT seq FROM tai.bases WHERE tenant = %(tenant)b::text)
        ORDER BY r.seq LIMIT %(limit)b::bigint
    ), noted AS (
        INSERT INTO tai.dropped (tenant, seq, hash)
        SELECT r.tenant, r.seq, r.hash FROM tai.receipts AS r
        WHERE r.tenant = %(tenant)b::text AND r.seq <= (SELECT max(seq) FROM going) AND (
            EXISTS (SELECT FROM tai.parts AS p WHERE p.tenant = r.tenant AND p.seq = r.seq)
            OR EXISTS (SELECT FROM tai.erased AS e WHERE e.tenant = r.tenant AND e.seq = r.seq)
        )
        ON CONFLICT DO NOTHING
    ), gone AS (
        DELETE FROM tai.receipts WHERE tenant = %(tenant)b::text AND seq <= (SELECT max(seq) FROM going) RETURNING 1
    )
    SELECT count(*) FROM gone
"""
SELECT_DROPPED: Final = """
    SELECT d.hash, named.name FROM tai.dropped AS d CROSS JOIN LATERAL (
        SELECT p.name FROM tai.parts AS p WHERE p.tenant = d.tenant AND p.seq = d.seq
        UNION SELECT e.name FROM tai.erased AS e WHERE e.tenant = d.tenant AND e.seq = d.seq
    ) AS named
    WHERE d.tenant = %b::text AND d.seq = %b::bigint ORDER BY named.name
"""
SELECT_NEWEST_TIME: Final = "SELECT time FROM tai.receipts ORDER BY id DESC LIMIT 1"
SELECT_CLOCK: Final = "SELECT tai.clock()"
SELECT_READABLE: Final = "SELECT EXISTS (SELECT FROM tai.heads)"
SELECT_WRITABLE: Final = "SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'"
SELECT_DURABILITY: Final = """
    SELECT current_setting('fsync')::boolean AND current_setting('full_page_writes')::boolean,
        current_setting('synchronous_standby_names') <> '',
        (SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))
"""
SELECT_NAMES_STANDBYS: Final = "SELECT current_setting('synchronous_standby_names') <> ''"
# A write that leaves no row: a message in the journal, flushed by the commit.
WRITE_NOTHING: Final = "SELECT pg_logical_emit_message(true, 'tai', '')"

# The row of a lease is locked without waiting, so neither another lease nor an append that settles it stands in line.
LEASE_DUE: Final = """
    WITH found AS MATERIALIZED (
        SELECT tenant, subject, kind, ready FROM tai.due WHERE ready <= (SELECT tai.moment(tai.clock()))
            AND (%(kinds)b::text[] IS NULL OR kind = ANY(%(kinds)b::text[]))
        ORDER BY ready, tenant, subject, kind LIMIT %(limit)b::bigint FOR UPDATE SKIP LOCKED
    )
    UPDATE tai.due SET attempts = due.attempts + 1, ready = tai.moment(tai.clock() + make_interval(
        secs => least(%(seconds)b::float8 * 2 ^ least(due.attempts, 32), greatest(%(seconds)b::float8, 300))
    ))
    FROM found WHERE due.tenant = found.tenant AND due.subject = found.subject AND due.kind = found.kind
    RETURNING found.ready, due.tenant, due.subject, due.kind, due.due, due.payload, due.ready, due.attempts
"""

# Counting and inserting are two steps; the lock makes them one among all instances.
LOCK_QUARANTINE: Final = "SELECT pg_advisory_xact_lock(hashtext('tai.quarantine'))"
INSERT_QUARANTINED: Final = """
    INSERT INTO tai.quarantine (
        id, time, reason, digest, subscription, message_id, by, tenants, trace, redrives, redrive_at, payload
    )
    SELECT %(id)b::text, %(time)b::text, %(reason)b::text, %(digest)b::text, %(subscription)b::text,
        %(message_id)b::text, %(by)b::text, %(tenants)b::text[], %(trace)b::text, %(redrives)b::integer,
        %(redrive_at)b::text, %(payload)b::bytea
    WHERE (SELECT count(*) FROM tai.quarantine) < %(quarantine_max)b::bigint
    ON CONFLICT (id) DO NOTHING
"""
EXISTS_QUARANTINED: Final = "SELECT EXISTS (SELECT FROM tai.quarantine WHERE id = %b::text)"
SELECT_QUARANTINED: Final = """
    SELECT id, time, reason, digest, subscription, message_id, by, tenants, trace, redrives, redrive_at, payload
    FROM tai.quarantine WHERE id > %b::text ORDER BY id LIMIT %b::bigint
"""
SELECT_QUARANTINED_ONE: Final = """
    SELECT id, time, reason, digest, subscription, message_id, by, tenants, trace, redrives, redrive_at, payload
    FROM tai.quarantine WHERE id = %b::text
"""
SELECT_TO_REDRIVE: Final = """
    SELECT id, time, reason, digest, subscription, message_id, by, tenants, trace, redrives, redrive_at, payload
    FROM tai.quarantine WHERE redrive_at <= %b::text ORDER BY redrive_at, id LIMIT %b::bigint
"""
PUT_OFF_QUARANTINED: Final = """
    UPDATE tai.quarantine
    SET reason = %(reason)b::text, redrives = %(redrives)b::integer, redrive_at = %(redrive_at)b::text
    WHERE id = %(id)b::text
"""
COUNT_QUARANTINED: Final = "SELECT count(*) FROM tai.quarantine"
DELETE_QUARANTINED: Final = "DELETE FROM tai.quarantine WHERE id = %b::text"

KEEP_POLICY: Final = """
    INSERT INTO tai.policies (digest, text, time) VALUES (%b::text, %b::bytea, %b::text)
    ON CONFLICT (digest) DO UPDATE SET place = excluded.place
"""
SELECT_POLICY: Final = "SELECT text FROM tai.policies WHERE digest = %b::text"
SELECT_NEWEST_POLICY: Final = "SELECT digest, text FROM tai.policies ORDER BY place DESC LIMIT 1"

# Every erasing transaction is older than whatever anybody may still look at, as far as we are allowed to know.
SELECT_ERASED: Final = """
    WITH erased AS (
        SELECT count(*) AS many, max(lsn) AS lsn, min(age(xid::xid)) AS age,
            max(xid::text::numeric)::text::xid8 AS newest
        FROM tai.erasures
    )
    SELECT erased.many, erased.newest::text, erased.lsn::text,
        coalesce(erased.newest < pg_snapshot_xmin(pg_current_snapshot()), true)
        AND NOT EXISTS (SELECT FROM pg_replication_slots WHERE xmin IS NOT NULL)
        AND NOT EXISTS (
            SELECT FROM pg_stat_activity AS other LEFT JOIN pg_database AS place ON place.oid = other.datid
            WHERE other.pid <> pg_backend_pid() AND coalesce(place.datname, current_database()) = current_database()
                AND (
                    age(other.backend_xmin) >= erased.age
                    OR (other.usesysid IS NOT NULL AND other.query = '<insufficient privilege>')
                )
        )
    FROM erased
"""
# What a recovery would replay begins behind them.
SELECT_CHECKPOINTED: Final = "SELECT redo_lsn > %b::text::pg_lsn FROM pg_control_checkpoint()"
VACUUM: Final = "VACUUM (TRUNCATE false) tai.parts, tai.quarantine"
FORGET_ERASED: Final = "DELETE FROM tai.erasures WHERE xid <= %b::text::xid8"

NOTE_ERASURE: Final = """
    INSERT INTO tai.erasures (xid, lsn) VALUES (pg_current_xact_id(), pg_current_wal_insert_lsn())
"""

# A copy is as of this transaction's snapshot, which the engine's own program takes over.
BEGIN_SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
EXPORT_SNAPSHOT: Final = "SELECT pg_export_snapshot()"
COUNT_LEDGERS: Final = "SELECT count(*) FROM tai.heads WHERE seq > 0"
# Those up to a base, which are being dropped, are not the ledger's any more.
COUNT_RECEIPTS: Final = """
    SELECT (SELECT count(*) FROM tai.receipts)
        - (SELECT count(*) FROM tai.bases AS b JOIN tai.receipts AS r ON r.tenant = b.tenant AND r.seq <= b.seq)
"""

# One at a time of those that make databases beside this one. Of the session: it ends with whoever holds it.
LOCK_SAVING: Final = "SELECT pg_try_advisory_lock(hashtext('tai.saving'))"
SELECT_DATABASE: Final = "SELECT oid::text FROM pg_database WHERE datname = current_database()"
SELECT_BESIDE: Final = "SELECT datname FROM pg_database WHERE datname LIKE %b::text ORDER BY datname"
# Ours by role, or by the name that our own connections give; a pooler's idle connections have the role too.
SELECT_OTHERS: Final = """
    SELECT coalesce(nullif(application_name, ''), '?'), count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND coalesce(backend_type, 'client backend') = 'client backend'
        AND (usename = current_user OR application_name = 'tai-autonomics')
    GROUP BY 1 ORDER BY 1
"""
EXISTS_SCHEMA: Final = "SELECT to_regnamespace('tai') IS NOT NULL"
EXISTS_RECEIPTS: Final = "SELECT to_regclass('tai.receipts') IS NOT NULL"
HOLDS_RECEIPTS: Final = "SELECT EXISTS (SELECT FROM tai.receipts)"
# What makes the schema fills this one.
SELECT_TABLES: Final = """
    SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum)
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 'tai'::regnamespace AND c.relkind = 'r' AND c.relname <> 'migrations'
    GROUP BY c.relname ORDER BY c.relname
"""
SELECT_SEQUENCES: Final = """
    SELECT sequencename::text, last_value FROM pg_sequences WHERE schemaname = 'tai' AND last_value IS NOT NULL
"""
SET_SEQUENCE: Final = "SELECT setval(format('tai.%%I', %b::text)::regclass, %b::bigint)"
SELECT_INDEXES: Final = """
    SELECT c.relname::text, pg_get_indexdef(c.oid)
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE c.relnamespace = 'tai'::regnamespace AND NOT i.indisprimary
"""

SELECT_MIGRATED: Final = "SELECT to_regclass('tai.migrations') IS NOT NULL"
SELECT_VERSION: Final = "SELECT coalesce(max(number), 0) FROM tai.migrations"
LOCK_MIGRATIONS: Final = "SELECT pg_advisory_xact_lock(hashtext('tai.migrations'))"
MAKE_MIGRATIONS: Final = """
    CREATE SCHEMA IF NOT EXISTS tai;
    CREATE TABLE IF NOT EXISTS tai.migrations (number integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());
"""
NOTE_MIGRATION: Final = "INSERT INTO tai.migrations (number) VALUES (%b::integer)"


class Statement(NamedTuple):
    text: str
    parameters: Sequence[Any]


def statements_of(appends: Sequence[Append]) -> list[Statement]:
    """The appends as statements, in the order of the port: what is settled goes before what is set anew."""
    erased = [(a.tenant, gone.seq, gone.name) for a in appends for gone in a.erasures]
    statements = [
        *_unnested(INSERT_RECEIPTS, [astuple(receipt) for a in appends for receipt in a.receipts]),
        *_unnested(UPDATE_HEADS, [_head_row(a) for a in appends if a.receipts]),
        *_unnested(DELETE_DUE, [(a.tenant, key.subject, key.kind) for a in appends for key in a.settled]),
        *_unnested(UPSERT_DUE, [(a.tenant, *astuple(row)) for a in appends for row in _last_due(a.due)]),
        *_unnested(UPSERT_PARTS, [(a.tenant, *astuple(part)) for a in appends for part in _last_parts(a.parts)]),
        *_unnested(ERASE_PARTS, erased),
        *_unnested(UPSERT_SNAPSHOTS, [(a.tenant, *astuple(a.snapshot)) for a in appends if a.snapshot is not None]),
    ]
    return [*statements, Statement(NOTE_ERASURE, ())] if erased else statements


def _unnested(text: str, rows: list[tuple[Any, ...]]) -> Iterable[Statement]:
    if rows:
        yield Statement(text, [list(column) for column in zip(*rows, strict=True)])


def _head_row(append: Append) -> tuple[Any, ...]:
    newest = append.receipts[-1]
    return newest.tenant, newest.ledger, newest.seq, newest.hash, newest.time


# PostgreSQL refuses to upsert one row twice in a statement, and so would refuse the other tenants' too.
def _last_due(rows: Iterable[Due]) -> Iterable[Due]:
    return {(row.subject, row.kind): row for row in rows}.values()


def _last_parts(parts: Iterable[Part]) -> Iterable[Part]:
    return {(part.seq, part.name): part for part in parts}.values()
