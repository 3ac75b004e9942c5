-- Read-only views in schema `guide`, run after every migration by the owner: each statement must bear being run again.
-- They give a person with psql one place to look, under the names that the testing guide uses. Services never read them.
CREATE SCHEMA IF NOT EXISTS guide;

CREATE OR REPLACE VIEW guide.api_keys AS
SELECT id, name, enabled, rate_limit, monthly_budget, user_id, created_at, last_used_at, revoked_at
FROM keyvault.virtual_keys;

CREATE OR REPLACE VIEW guide.usage_records AS
SELECT request_id AS id, api_key_id, provider_type, model, status, input_tokens, output_tokens, total_tokens,
       cost AS total_cost_usd, latency_ms, started_at AS created_at
FROM analytics.requests;

CREATE OR REPLACE VIEW guide.monthly_usage_summary AS
SELECT api_key_id, year, month, sum(total_requests)::bigint AS total_requests,
       sum(input_tokens)::bigint AS total_input_tokens, sum(output_tokens)::bigint AS total_output_tokens,
       sum(total_cost) AS total_cost_usd
FROM billing.monthly_usage
GROUP BY api_key_id, year, month;

CREATE OR REPLACE VIEW guide.providers AS
SELECT id, name, display_name, provider_type, enabled, created_at
FROM catalog_sync.providers;

CREATE OR REPLACE VIEW guide.models AS
SELECT m.id, m.name AS model_name, m.provider_type AS provider_name, m.enabled, m.context_length, m.created_at
FROM catalog_sync.models m;

-- So that the guide's queries, which name no schema, find these after everything else.
DO $$
BEGIN
    EXECUTE format('ALTER DATABASE %I SET search_path = "$user", public, guide', current_database());
END
$$;
