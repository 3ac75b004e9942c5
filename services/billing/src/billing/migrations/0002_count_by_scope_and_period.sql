-- Budgets beyond the monthly ones of keys, users and teams; what each scope has spent in each period, kept as calls are
-- booked; what each provider is owed a day; and which epoch of Redis holds what settlement counted.

-- What a charge counts in budgets (a tracked call counts, although nobody owes it), its attempts, and for every counter
-- that its event named the amount that settlement added there (zero where Redis had lost the hold).
ALTER TABLE charges
    ADD COLUMN counted numeric NOT NULL DEFAULT 0 CHECK (counted >= 0 AND counted < 'Infinity'),
    ADD COLUMN is_simulated boolean NOT NULL DEFAULT false,
    ADD COLUMN attempts jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN settled jsonb NOT NULL DEFAULT '{}';

UPDATE charges SET
    counted = cost,
    attempts = jsonb_build_array(jsonb_build_object(
        'provider_type', provider_type, 'model', '', 'cost', cost::text, 'operator_cost', operator_cost::text,
        'usage', '{}'::jsonb, 'price_version', NULL)),
    settled = CASE WHEN api_key_id IS NULL THEN '{}'::jsonb ELSE jsonb_build_object(
        'key:' || api_key_id || ':' || lpad(year::text, 4, '0') || '-' || lpad(month::text, 2, '0'), cost::text) END;

-- The same two columns find a key's or user's calls, and those of a span of theirs.
DROP INDEX charges_by_key;
DROP INDEX charges_by_user;
CREATE INDEX charges_by_key ON charges (api_key_id, occurred_at);
CREATE INDEX charges_by_user ON charges (user_id, occurred_at);

-- `total` is what was booked of a scope in a period, `settled` what of it stands in Redis under `cost:`; the difference
-- stands there under `other:`, absolute, with this version.
CREATE TABLE counters (
    scope text NOT NULL,
    period text NOT NULL,
    total numeric NOT NULL,
    settled numeric NOT NULL,
    version bigint NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (scope, period)
) WITH (fillfactor = 50);

INSERT INTO counters (scope, period, total, settled, version, changed_at)
    SELECT s.scope, lpad(c.year::text, 4, '0') || '-' || lpad(c.month::text, 2, '0'), sum(c.counted),
        sum(CASE WHEN s.is_settled THEN c.counted ELSE 0 END), 1, now()
    FROM charges AS c, LATERAL (VALUES ('key:' || c.api_key_id, true), ('user:' || c.user_id, false),
        ('team:' || c.team_id, false)) AS s (scope, is_settled)
    WHERE s.scope IS NOT NULL GROUP BY 1, 2;

-- `counter_scope` is whose calls count (`user:<id>/provider:<type>`); what the owner asked for stands beside it.
CREATE TABLE budgets (
    id text PRIMARY KEY,
    owner_user_id text,
    scope text NOT NULL CHECK (scope IN ('user', 'key', 'team', 'provider', 'model', 'global')),
    scope_id text,
    counter_scope text NOT NULL,
    period text NOT NULL CHECK (period IN ('daily', 'weekly', 'monthly', 'total')),
    zone text NOT NULL,
    mode text NOT NULL CHECK (mode IN ('hard', 'soft')),
    limit_usd numeric NOT NULL CHECK (limit_usd >= 0 AND limit_usd <= 9000000),
    thresholds integer[] NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (owner_user_id, counter_scope, period)
);
CREATE INDEX budgets_by_scope ON budgets (counter_scope);

-- A threshold is told once a budget and period, whoever books the call that passes it.
CREATE TABLE reached_thresholds (
    budget_id text NOT NULL,
    period text NOT NULL,
    percent integer NOT NULL,
    reached_at timestamptz NOT NULL,
    PRIMARY KEY (budget_id, period, percent)
);

-- What we owe a provider for a model a UTC day, attempt by attempt: what its own bill is held against.
CREATE TABLE provider_days (
    day date NOT NULL,
    provider_type text NOT NULL,
    model text NOT NULL,
    is_simulated boolean NOT NULL,
    requests bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cost numeric NOT NULL,
    PRIMARY KEY (day, provider_type, model, is_simulated)
) WITH (fillfactor = 50);

INSERT INTO provider_days (day, provider_type, model, is_simulated, requests, input_tokens, output_tokens, cost)
    SELECT (occurred_at AT TIME ZONE 'UTC')::date, provider_type, '', false, count(*), sum(input_tokens),
        sum(output_tokens), sum(cost + operator_cost)
    FROM charges WHERE cost + operator_cost > 0 GROUP BY 1, 2;

-- Calls that used a tier's monthly quota, by whose it is (`user:<id>`, or `key:<id>` of a key without a user).
CREATE TABLE quota_calls (
    scope text NOT NULL,
    year integer NOT NULL,
    month integer NOT NULL,
    calls bigint NOT NULL,
    PRIMARY KEY (year, month, scope)
) WITH (fillfactor = 50);

-- The epoch that admission was opened under, and the run of the Redis that it was opened on.
CREATE TABLE admission (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    epoch text NOT NULL,
    redis_run_id text NOT NULL,
    opened_at timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE ON counters, provider_days, quota_calls, admission TO billing;
GRANT SELECT, INSERT, UPDATE, DELETE ON budgets TO billing;
GRANT SELECT, INSERT, DELETE ON reached_thresholds TO billing;
