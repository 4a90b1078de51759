-- Where a ledger begins whose earlier receipts are archived, and the state there.
CREATE TABLE tai.bases (
    tenant text COLLATE "C" PRIMARY KEY,
    seq bigint NOT NULL,
    ledger text NOT NULL,
    hash text NOT NULL,
    time text COLLATE "C" NOT NULL,
    state_version integer NOT NULL,
    state bytea NOT NULL,
    archive text NOT NULL
);

-- The hashes of dropped receipts that had parts.
CREATE TABLE tai.dropped (
    tenant text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    hash text NOT NULL,
    PRIMARY KEY (tenant, seq)
);
