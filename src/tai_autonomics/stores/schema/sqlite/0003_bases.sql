-- Where a ledger begins whose earlier receipts are archived, and the state there.
CREATE TABLE bases (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL UNIQUE,
    seq INTEGER NOT NULL,
    ledger TEXT NOT NULL,
    hash TEXT NOT NULL,
    time TEXT NOT NULL,
    state_version INTEGER NOT NULL,
    state BLOB NOT NULL,
    archive TEXT NOT NULL
) STRICT;

-- The hashes of dropped receipts whose rows in parts stay.
CREATE TABLE dropped (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    seq INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX dropped_by_seq ON dropped (tenant, seq);
