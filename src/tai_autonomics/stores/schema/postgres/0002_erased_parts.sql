-- Which parts were taken away: the row of tai.parts is gone, and the list that is kept with backups names it.
CREATE TABLE tai.erased (
    tenant text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, seq, name)
);

-- What was erased before is in its receipts alone.
INSERT INTO tai.erased (tenant, seq, name)
SELECT erasing.tenant, (event ->> 'seq')::bigint, event ->> 'part'
FROM tai.receipts AS erasing
    CROSS JOIN LATERAL json_array_elements(convert_from(erasing.body, 'UTF8')::json -> 'events') AS event
WHERE erasing.subject_kind = 'receipt' AND event ->> 'type' = 'PartErased'
ON CONFLICT DO NOTHING;
