-- What catalog-sync owns. Prices are dated rows that nobody rewrites: the role may only read and add them, and a trigger
-- refuses anything else, whoever asks.

CREATE TABLE providers (
    id text PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9._-]{0,63}$'),
    display_name text NOT NULL CHECK (length(display_name) BETWEEN 1 AND 128),
    provider_type text NOT NULL,
    base_url text,
    headers jsonb NOT NULL,
    options jsonb NOT NULL,
    enabled boolean NOT NULL,
    priority integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE TABLE models (
    id text PRIMARY KEY CHECK (id !~ '/'),
    provider_type text NOT NULL,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 256),
    display_name text NOT NULL,
    description text NOT NULL,
    names text[] NOT NULL,
    enabled boolean NOT NULL,
    context_length bigint CHECK (context_length > 0),
    max_output_tokens bigint CHECK (max_output_tokens > 0),
    capabilities text[] NOT NULL,
    deprecated_at timestamptz,
    gone_at timestamptz,
    source text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    UNIQUE (provider_type, name)
);

CREATE INDEX models_by_other_name ON models USING gin (names);

-- `id` is the order in which rows were added: of two rows with the same `starts_at` the later one holds.
CREATE TABLE prices (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id text NOT NULL REFERENCES models (id),
    version text NOT NULL,
    starts_at timestamptz NOT NULL,
    rates jsonb NOT NULL CHECK (jsonb_typeof(rates) = 'object' AND rates <> '{}'),
    tiers jsonb NOT NULL CHECK (jsonb_typeof(tiers) = 'array'),
    variants jsonb NOT NULL CHECK (jsonb_typeof(variants) = 'object'),
    source text NOT NULL,
    read_at timestamptz NOT NULL,
    UNIQUE (model_id, starts_at, version, read_at)
);

CREATE INDEX prices_in_force ON prices (model_id, starts_at DESC, id DESC);

CREATE FUNCTION refuse_to_change_a_price() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a price is never changed: add a row with a later date' USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER prices_are_only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON prices
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_a_price();

CREATE TABLE aliases (
    id text PRIMARY KEY,
    alias text NOT NULL UNIQUE CHECK (length(alias) BETWEEN 1 AND 128),
    strategy text NOT NULL,
    enabled boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE TABLE deployments (
    alias_id text NOT NULL REFERENCES aliases (id) ON DELETE CASCADE,
    position integer NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    weight integer NOT NULL CHECK (weight >= 0),
    priority integer NOT NULL,
    PRIMARY KEY (alias_id, position),
    UNIQUE (alias_id, provider, model)
);

CREATE INDEX deployments_by_provider ON deployments (provider);

CREATE TABLE syncs (
    id text PRIMARY KEY,
    source text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL CHECK (ended_at >= started_at),
    added integer NOT NULL CHECK (added >= 0),
    changed integer NOT NULL CHECK (changed >= 0),
    gone integer NOT NULL CHECK (gone >= 0),
    prices_added integer NOT NULL CHECK (prices_added >= 0),
    error text
);

CREATE TABLE seen_models (
    provider_type text NOT NULL,
    name text NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL CHECK (last_seen >= first_seen),
    calls bigint NOT NULL CHECK (calls > 0),
    PRIMARY KEY (provider_type, name)
);

CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('event', 'snapshot', 'removal')),
    target text NOT NULL,
    key text NOT NULL,
    body bytea NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON providers, aliases, deployments, seen_models TO catalog_sync;
GRANT SELECT, INSERT, UPDATE ON models TO catalog_sync;
GRANT SELECT, INSERT ON prices, syncs TO catalog_sync;
GRANT SELECT, INSERT, DELETE ON outbox TO catalog_sync;
