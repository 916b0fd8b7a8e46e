-- The last good key set of each issuer, so that a start without network can verify. Only public keys.

CREATE TABLE key_sets (
    issuer     TEXT PRIMARY KEY,     -- the configured name
    source     TEXT NOT NULL,        -- kind, identifiers and place; another source's keys are never taken up
    body       BLOB NOT NULL,        -- the issuer's answer, byte for byte
    fetched_at INTEGER NOT NULL,     -- Unix milliseconds
    max_age    INTEGER               -- seconds
) STRICT, WITHOUT ROWID;
