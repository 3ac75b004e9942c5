-- Which models the keys of each account tier may call: patterns `provider type/name`, where `*` stands for anything.
CREATE TABLE tier_rules (
    tier text PRIMARY KEY CHECK (tier IN ('trial', 'starter', 'professional', 'enterprise')),
    allowed text[] NOT NULL,
    updated_at timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE ON tier_rules TO catalog_sync;
