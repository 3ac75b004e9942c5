-- Whom an OpenID Connect issuer knows us by: its name for somebody (issuer and subject, never an address) and the account.

CREATE TABLE identities (
    issuer text NOT NULL,
    subject text NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
    user_id text NOT NULL REFERENCES users (id),
    linked_at timestamptz NOT NULL,
    last_login_at timestamptz NOT NULL,
    PRIMARY KEY (issuer, subject),
    UNIQUE (user_id, issuer)
);

-- Logins that have ended, by the hash of their state, until their cookie has run out anyway: each counts once.
CREATE TABLE ended_logins (
    state_hash text PRIMARY KEY CHECK (state_hash ~ '^[0-9a-f]{64}$'),
    expires_at timestamptz NOT NULL
);
CREATE INDEX ended_logins_expiry ON ended_logins (expires_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON identities TO keyvault;
GRANT SELECT, INSERT, DELETE ON ended_logins TO keyvault;
