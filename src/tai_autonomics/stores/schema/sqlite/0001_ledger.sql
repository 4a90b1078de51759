-- Receipts are only ever added: fat rows go to the end of the table, and the two indexes hold no bodies.
CREATE TABLE receipts (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    ledger TEXT NOT NULL,
    seq INTEGER NOT NULL,
    hash TEXT NOT NULL,
    time TEXT NOT NULL,
    type TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    command_id TEXT NOT NULL,
    claims INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX receipts_by_seq ON receipts (tenant, seq);
CREATE UNIQUE INDEX receipts_by_command ON receipts (tenant, command_id) WHERE claims = 1;

-- An erased part's bytes are overwritten where they lie, with as many zeros. Deleting the row would let SQLite move its
-- neighbours to other pages, and secure_delete forgets the copies left behind in the gaps: erased later, they stay.
CREATE TABLE parts (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    seq INTEGER NOT NULL,
    name TEXT NOT NULL,
    erased INTEGER NOT NULL DEFAULT 0,
    salt BLOB NOT NULL,
    text BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX parts_by_seq ON parts (tenant, seq, name);

CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL UNIQUE,
    seq INTEGER NOT NULL,
    ledger TEXT NOT NULL,
    hash TEXT NOT NULL,
    time TEXT NOT NULL,
    state_version INTEGER NOT NULL,
    state BLOB NOT NULL
) STRICT;

-- ready: when the row may be handed out next; its due time, or the end of its last lease.
CREATE TABLE due (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    subject TEXT NOT NULL,
    kind TEXT NOT NULL,
    due TEXT NOT NULL,
    ready TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    payload BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX due_by_key ON due (tenant, subject, kind);
CREATE INDEX due_by_ready ON due (ready);

-- tenants: a JSON array; NULL is every tenant. redrive_at: NULL waits for an operator.
CREATE TABLE quarantine (
    id TEXT PRIMARY KEY,
    time TEXT NOT NULL,
    reason TEXT NOT NULL,
    digest TEXT NOT NULL,
    subscription TEXT NOT NULL,
    message_id TEXT NOT NULL,
    "by" TEXT NOT NULL,
    tenants TEXT,
    trace TEXT,
    redrives INTEGER NOT NULL,
    redrive_at TEXT,
    payload BLOB NOT NULL
) STRICT;
CREATE INDEX quarantine_by_redrive ON quarantine (redrive_at, id) WHERE redrive_at IS NOT NULL;

-- place: the highest is the newest.
CREATE TABLE policies (
    digest TEXT PRIMARY KEY,
    text BLOB NOT NULL,
    time TEXT NOT NULL,
    place INTEGER NOT NULL
) STRICT;
