-- Records from now on are links of a hash chain. Those from before have no link: nothing proves them.
ALTER TABLE audit ADD COLUMN chain TEXT;
ALTER TABLE audit ADD COLUMN sequence INTEGER;
ALTER TABLE audit ADD COLUMN hash BLOB;

-- The newest link of each chain, so that records cut off at the end show.
CREATE TABLE audit_chains (
    id       TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,
    hash     BLOB NOT NULL
) STRICT, WITHOUT ROWID;
