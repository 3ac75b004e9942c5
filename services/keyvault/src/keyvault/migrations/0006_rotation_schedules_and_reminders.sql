-- When virtual keys are to get a next secret, when provider keys expire, and of what people were reminded.

-- `due_since`: the present secret has been given an end, and its owner has not yet taken the next one.
CREATE TABLE key_rotations (
    key_id text PRIMARY KEY REFERENCES virtual_keys (id),
    every_days integer NOT NULL CHECK (every_days BETWEEN 1 AND 3650),
    grace_seconds integer NOT NULL CHECK (grace_seconds BETWEEN 0 AND 2592000),
    next_at timestamptz NOT NULL,
    due_since timestamptz,
    reminded_at timestamptz,
    set_by text NOT NULL
);
CREATE INDEX key_rotations_next ON key_rotations (next_at) WHERE due_since IS NULL;
CREATE INDEX key_rotations_due ON key_rotations (due_since) WHERE due_since IS NOT NULL;

ALTER TABLE credentials ADD COLUMN expires_at timestamptz;

CREATE TABLE credential_reminders (
    credential_id text NOT NULL REFERENCES credentials (id),
    version integer NOT NULL,
    reason text NOT NULL CHECK (reason IN ('old', 'unused', 'expires', 'expired')),
    told_at timestamptz NOT NULL,
    PRIMARY KEY (credential_id, version, reason)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON key_rotations TO keyvault;
GRANT SELECT, INSERT ON credential_reminders TO keyvault;
