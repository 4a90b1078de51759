-- Everything lies in a schema of its own, so that nothing depends on a search path or meets another program's tables.
-- COLLATE "C" is the order of bytes, whatever the database's own is.

-- Our only clock. STABLE, so that an index is used with it.
CREATE FUNCTION tai.clock() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT statement_timestamp()';

-- A time as the ledger writes it: RFC 3339 in UTC with six digits, whose order as text is their order in time.
CREATE FUNCTION tai.moment(at timestamptz) RETURNS text LANGUAGE sql STABLE AS
    $$SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')$$;

-- The row that an append locks. seq 0: its ledger does not exist yet.
-- Half of each page stays free, so that a head is rewritten in its page and no index is touched (a HOT update).
CREATE TABLE tai.heads (
    tenant text COLLATE "C" PRIMARY KEY,
    ledger text NOT NULL,
    seq bigint NOT NULL,
    hash text NOT NULL,
    time text COLLATE "C" NOT NULL
) WITH (fillfactor = 50);

-- id: the order in which receipts were appended, of all tenants, but for appends at one time.
CREATE TABLE tai.receipts (
    id bigint GENERATED ALWAYS AS IDENTITY,
    tenant text COLLATE "C" NOT NULL,
    ledger text NOT NULL,
    seq bigint NOT NULL,
    hash text NOT NULL,
    time text COLLATE "C" NOT NULL,
    type text NOT NULL,
    subject_kind text NOT NULL,
    subject_id text NOT NULL,
    command_id text COLLATE "C" NOT NULL,
    claims boolean NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (tenant, seq)
);
CREATE UNIQUE INDEX receipts_by_command ON tai.receipts (tenant, command_id) WHERE claims;
CREATE INDEX receipts_by_id ON tai.receipts (id);

CREATE TABLE tai.parts (
    tenant text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    salt bytea NOT NULL,
    text bytea NOT NULL,
    PRIMARY KEY (tenant, seq, name)
);

-- A transaction that erased something: until no version of it can be seen and no recovery would replay it.
CREATE TABLE tai.erasures (
    xid xid8 NOT NULL,
    lsn pg_lsn NOT NULL
);

CREATE TABLE tai.snapshots (
    tenant text COLLATE "C" PRIMARY KEY,
    seq bigint NOT NULL,
    ledger text NOT NULL,
    hash text NOT NULL,
    time text NOT NULL,
    state_version integer NOT NULL,
    state bytea NOT NULL
);

-- ready: when the row may be handed out next; its due time, or the end of its last lease.
CREATE TABLE tai.due (
    tenant text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    due text COLLATE "C" NOT NULL,
    ready text COLLATE "C" NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    payload bytea NOT NULL,
    PRIMARY KEY (tenant, subject, kind)
);
CREATE INDEX due_by_ready ON tai.due (ready);

-- tenants: NULL is every tenant. redrive_at: NULL waits for an operator.
CREATE TABLE tai.quarantine (
    id text COLLATE "C" PRIMARY KEY,
    time text NOT NULL,
    reason text NOT NULL,
    digest text NOT NULL,
    subscription text NOT NULL,
    message_id text NOT NULL,
    by text NOT NULL,
    tenants text[],
    trace text,
    redrives integer NOT NULL,
    redrive_at text COLLATE "C",
    payload bytea NOT NULL
);
CREATE INDEX quarantine_by_redrive ON tai.quarantine (redrive_at, id) WHERE redrive_at IS NOT NULL;

-- place: the highest is the newest.
CREATE SEQUENCE tai.places;
CREATE TABLE tai.policies (
    digest text PRIMARY KEY,
    text bytea NOT NULL,
    time text NOT NULL,
    place bigint NOT NULL DEFAULT nextval('tai.places')
);
