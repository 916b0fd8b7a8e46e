-- Times are whole Unix seconds (audit, key sets: milliseconds). `changed`: the number under which a row was written.

-- One counter of everything that is not an exchange. A change raises it first, so changes are made one after the other
-- and none is seen before those with lower numbers.
CREATE TABLE changes (id integer PRIMARY KEY CHECK (id = 1), number bigint NOT NULL);
INSERT INTO changes VALUES (1, 1);

-- One row a writing replica. Its batch of exchanges holds its own row until it is committed; a change holds all of them.
-- So an exchange is decided by what is in force at its commit, and replicas do not wait for each other's exchanges.
CREATE TABLE gates (id text PRIMARY KEY, seen_at bigint NOT NULL);

CREATE TABLE users (
    name          text PRIMARY KEY,
    origin_policy text,
    state         text NOT NULL CHECK (state IN ('enabled', 'disabled', 'deleted')),
    created_at    bigint NOT NULL,
    changed       bigint NOT NULL
);
CREATE INDEX users_by_change ON users (changed);

-- A removed credential stays as a row without secrets, so that replicas learn of it.
CREATE TABLE credentials (
    name       text PRIMARY KEY,
    client_id  text NOT NULL UNIQUE,
    user_name  text NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('oauth2', 'access-token')),
    scopes     text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint,
    disabled   boolean NOT NULL,
    removed    boolean NOT NULL DEFAULT false,
    hashes     bytea[] NOT NULL,
    made       bigint[] NOT NULL,
    ends       bigint[] NOT NULL,    -- an element is null where the secret does not end
    changed    bigint NOT NULL
);
CREATE INDEX credentials_by_change ON credentials (changed);
CREATE INDEX credentials_by_user ON credentials (user_name);

CREATE TABLE shared_secrets (name text PRIMARY KEY, value bytea NOT NULL);

CREATE TABLE signing_keys (
    id            text PRIMARY KEY,
    algorithm     text NOT NULL,
    purpose       text NOT NULL CHECK (purpose IN ('token', 'audit')),
    state         text NOT NULL CHECK (state IN ('pending', 'published', 'active', 'retired', 'gone', 'revoked')),
    private_key   bytea NOT NULL,    -- encrypted under `kek`; empty: erased
    kek           text,
    created_at    bigint NOT NULL,
    published_at  bigint,
    activated_at  bigint,
    retired_at    bigint,
    ended_at      bigint,
    longest_token bigint NOT NULL,
    changed       bigint NOT NULL
);

CREATE TABLE replicas (
    id         text PRIMARY KEY,
    name       text NOT NULL,
    software   text NOT NULL,
    started_at bigint NOT NULL,
    seen_at    bigint NOT NULL,      -- by the database's clock
    applied    bigint NOT NULL
);

CREATE TABLE key_sets (
    issuer     text PRIMARY KEY,
    source     text NOT NULL,
    body       bytea NOT NULL,
    fetched_at bigint NOT NULL,
    max_age    bigint
);

CREATE TABLE replay (id bytea PRIMARY KEY, keep_until bigint NOT NULL);
CREATE INDEX replay_by_end ON replay (keep_until);

CREATE TABLE sessions (
    token      text PRIMARY KEY,
    user_name  text NOT NULL,
    client_id  text NOT NULL,
    issuer     text,
    policies   text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    revoked_at bigint,
    revoked_in bigint                -- the change that ended it
);
CREATE INDEX sessions_by_end ON sessions (expires_at);
CREATE INDEX sessions_by_user ON sessions (user_name);
CREATE INDEX sessions_ended ON sessions (revoked_in) WHERE revoked_in IS NOT NULL;

CREATE TABLE audit (
    position  bigserial PRIMARY KEY,
    stored_at bigint NOT NULL,       -- milliseconds, by the database's clock
    time      bigint NOT NULL,
    trace_id  text NOT NULL,
    outcome   text NOT NULL,
    cause     text,
    user_name text,
    policy    text,
    issuer    text,
    json      text NOT NULL,
    chain     text NOT NULL,
    sequence  bigint NOT NULL,
    hash      bytea NOT NULL,
    UNIQUE (chain, sequence)
);
CREATE INDEX audit_by_time ON audit (time);
CREATE INDEX audit_by_trace_id ON audit (trace_id);

-- The newest link of each chain, so that records cut off at the end show. A replica makes a chain of its own at each start.
CREATE TABLE audit_chains (id text PRIMARY KEY, sequence bigint NOT NULL, hash bytea NOT NULL);
