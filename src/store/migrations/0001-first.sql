-- Names are text, times are whole Unix seconds (audit: milliseconds), so `sqlite3 countersign.db` can read everything.

CREATE TABLE users (
    name          TEXT PRIMARY KEY,
    origin_policy TEXT,              -- null: an operator made it
    state         TEXT NOT NULL CHECK (state IN ('enabled', 'disabled', 'deleted')),
    created_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE credentials (
    name       TEXT PRIMARY KEY,
    client_id  TEXT NOT NULL UNIQUE,
    user       TEXT NOT NULL REFERENCES users (name),
    kind       TEXT NOT NULL CHECK (kind IN ('oauth2', 'access-token')),
    scopes     TEXT NOT NULL,        -- wire form
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    disabled   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE credential_secrets (
    credential TEXT NOT NULL REFERENCES credentials (name) ON DELETE CASCADE,
    hash       BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (credential, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE shared_secrets (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE signing_keys (
    id         TEXT PRIMARY KEY,
    algorithm  TEXT NOT NULL,
    pkcs8      BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE replay (
    id         BLOB PRIMARY KEY,
    keep_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Token ids begin with the time they were made, so new rows go to the end of the tree.
CREATE TABLE sessions (
    token      TEXT PRIMARY KEY,
    user       TEXT NOT NULL,
    client_id  TEXT NOT NULL,
    issuer     TEXT,
    policies   TEXT NOT NULL,        -- separated by spaces
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    position INTEGER PRIMARY KEY,
    time     INTEGER NOT NULL,
    trace_id TEXT NOT NULL,
    outcome  TEXT NOT NULL,
    cause    TEXT,
    user     TEXT,
    policy   TEXT,
    issuer   TEXT,
    json     TEXT NOT NULL
) STRICT;

CREATE INDEX audit_by_trace_id ON audit (trace_id);

-- One row that a health check rewrites, to know that a commit reaches the disk.
CREATE TABLE health (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    checks INTEGER NOT NULL
) STRICT;

INSERT INTO health VALUES (1, 0);
