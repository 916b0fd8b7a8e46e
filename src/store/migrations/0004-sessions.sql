-- The change that ended a session, so that whoever keeps the ended ones in memory knows which it has not seen.
ALTER TABLE sessions ADD COLUMN revoked_in INTEGER;

-- Until now a token also stopped counting while its user was disabled or when the name was given anew; from now on that
-- ends the session for good.
UPDATE sessions SET revoked_at = unixepoch() WHERE revoked_at IS NULL AND EXISTS (
    SELECT 1 FROM users WHERE users.name = sessions.user
    AND (users.state <> 'enabled' OR users.created_at > sessions.created_at));
UPDATE sessions SET revoked_in = 1 WHERE revoked_at IS NOT NULL;

CREATE INDEX sessions_ended ON sessions (revoked_in) WHERE revoked_in IS NOT NULL;
CREATE INDEX sessions_by_user ON sessions (user);
