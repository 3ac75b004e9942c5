-- Accounts and their sessions, virtual keys, credentials, the audit trail, the outbox.
-- Every instant is set by flows; the tables belong to the owner, and the service's role gets what it needs and no more.

CREATE TABLE users (
    id text PRIMARY KEY,
    email text NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    name text NOT NULL,
    password_hash text NOT NULL CHECK (password_hash LIKE '$argon2id$%'),
    role text NOT NULL CHECK (role IN ('user', 'admin')),
    tier text NOT NULL CHECK (tier IN ('trial', 'starter', 'professional', 'enterprise')),
    enabled boolean NOT NULL,
    sessions_not_before timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX users_email ON users (lower(email));

-- Public halves only. A retired key stays until the last token signed with it has run out.
CREATE TABLE signing_keys (
    kid text PRIMARY KEY,
    public_key text NOT NULL,
    created_at timestamptz NOT NULL,
    retired_at timestamptz
);

CREATE TABLE revoked_tokens (
    token_id text PRIMARY KEY,
    user_id text NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz NOT NULL
);
CREATE INDEX revoked_tokens_expiry ON revoked_tokens (expires_at);

-- `tier` null: the owner's. `refusal_pending`: Redis does not yet say what this row says about being let in.
CREATE TABLE virtual_keys (
    id text PRIMARY KEY,
    name text NOT NULL,
    enabled boolean NOT NULL,
    disabled_by text,
    user_id text REFERENCES users (id),
    team_id text,
    tier text CHECK (tier IN ('trial', 'starter', 'professional', 'enterprise')),
    rate_limit integer CHECK (rate_limit >= 1),
    token_limit bigint CHECK (token_limit >= 1),
    max_concurrency integer CHECK (max_concurrency >= 1),
    monthly_budget numeric CHECK (monthly_budget >= 0),
    allowed_models text[],
    expires_at timestamptz,
    metadata jsonb NOT NULL,
    log_content boolean NOT NULL,
    cache_ttl_s integer CHECK (cache_ttl_s >= 1),
    refusal_pending boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    last_used_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX virtual_keys_owner ON virtual_keys (user_id, id);
CREATE INDEX virtual_keys_pending ON virtual_keys (id) WHERE refusal_pending;

-- A secret that ever was stays known, so that a revoked or rotated one cannot be imported again.
CREATE TABLE key_secrets (
    sha256 text PRIMARY KEY CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    key_id text NOT NULL REFERENCES virtual_keys (id),
    last4 text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz
);
CREATE INDEX key_secrets_key ON key_secrets (key_id);
CREATE UNIQUE INDEX key_secrets_current ON key_secrets (key_id) WHERE expires_at IS NULL;

-- `owner_user_id` null: a system credential. The ciphertext of a removed one is destroyed, its row stays for the trail.
CREATE TABLE credentials (
    id text PRIMARY KEY,
    provider_type text NOT NULL,
    owner_user_id text REFERENCES users (id),
    name text NOT NULL,
    ciphertext text,
    kid text,
    version integer NOT NULL CHECK (version >= 1),
    last4 text NOT NULL,
    base_url text,
    on_simulator boolean NOT NULL,
    enabled boolean NOT NULL,
    status text NOT NULL CHECK (status IN ('active', 'removed')),
    source text NOT NULL CHECK (source IN ('environment', 'api', 'simulator')),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    last_tested_at timestamptz,
    last_test_ok boolean,
    last_used_at timestamptz,
    CHECK ((status = 'active') = (ciphertext IS NOT NULL AND kid IS NOT NULL)),
    CHECK (status = 'active' OR NOT enabled)
);
CREATE UNIQUE INDEX credentials_system ON credentials (provider_type) WHERE owner_user_id IS NULL AND status = 'active';

-- Each entry's hash covers the one before it; ids have no gaps.
CREATE TABLE audit_entries (
    id bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    origin text,
    detail jsonb NOT NULL,
    previous_hash text NOT NULL UNIQUE CHECK (previous_hash ~ '^[0-9a-f]{64}$'),
    hash text NOT NULL UNIQUE CHECK (hash ~ '^[0-9a-f]{64}$')
);

CREATE FUNCTION refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only';
END
$$;
CREATE TRIGGER audit_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();

CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    target text NOT NULL,
    key text NOT NULL,
    body bytea NOT NULL
);

GRANT SELECT, INSERT, UPDATE ON users, virtual_keys, key_secrets, credentials TO keyvault;
GRANT SELECT, INSERT, UPDATE, DELETE ON signing_keys TO keyvault;
GRANT SELECT, INSERT, DELETE ON revoked_tokens TO keyvault;
GRANT SELECT, INSERT ON audit_entries TO keyvault;
GRANT SELECT, INSERT, DELETE ON outbox TO keyvault;
