-- One counter of everything that is not an exchange, so that whoever follows knows what it has not seen.
CREATE TABLE changes (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL
) STRICT;

INSERT INTO changes VALUES (1, 1);

-- Signing keys get a life, and their private halves are encrypted: `kek` names the key-encryption key. A row without
-- it and not ended is from before, and is encrypted at the next start.
ALTER TABLE signing_keys RENAME COLUMN pkcs8 TO private_key;
ALTER TABLE signing_keys ADD COLUMN kek TEXT;
ALTER TABLE signing_keys ADD COLUMN purpose TEXT NOT NULL DEFAULT 'token' CHECK (purpose IN ('token', 'audit'));
ALTER TABLE signing_keys ADD COLUMN state TEXT NOT NULL DEFAULT 'active'
    CHECK (state IN ('pending', 'published', 'active', 'retired', 'gone', 'revoked'));
ALTER TABLE signing_keys ADD COLUMN published_at INTEGER;
ALTER TABLE signing_keys ADD COLUMN activated_at INTEGER;
ALTER TABLE signing_keys ADD COLUMN retired_at INTEGER;
ALTER TABLE signing_keys ADD COLUMN ended_at INTEGER;
ALTER TABLE signing_keys ADD COLUMN longest_token INTEGER NOT NULL DEFAULT 86400; -- seconds
ALTER TABLE signing_keys ADD COLUMN changed INTEGER NOT NULL DEFAULT 1;

UPDATE signing_keys SET published_at = created_at, activated_at = created_at;
