-- The request log, what is counted from it, and what makes redelivery count once.
-- Amounts are US dollars as unconstrained numeric: a column with a scale would round without a word.

-- Unpartitioned, for good: which event is kept of each request. An event is its request and its kind (its id is computed
-- from the two), so one row a request knows every redelivery, and where the row of the log is.
CREATE TABLE request_ids (
    request_id text PRIMARY KEY,
    event_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('estimated', 'final')),
    started_at timestamptz NOT NULL
);

-- One row a request, every field of its usage event. By month; a row of a month that has no partition yet is kept in the
-- default one until make_request_partition moves it.
CREATE TABLE requests (
    request_id text NOT NULL,
    event_id uuid NOT NULL,
    kind text NOT NULL,
    trace_id text,
    api_key_id text,
    user_id text,
    team_id text,
    tier text,
    source text NOT NULL,
    operation text NOT NULL,
    requested_model text NOT NULL,
    alias text,
    provider_type text NOT NULL,
    provider_id text,
    model text NOT NULL,
    credential text NOT NULL,
    credential_id text,
    billable boolean NOT NULL,
    streamed boolean NOT NULL,
    status text NOT NULL,
    http_status integer NOT NULL,
    error jsonb,
    finish_reason text,
    input_tokens bigint NOT NULL,
    cached_input_tokens bigint NOT NULL,
    cache_write_5m_tokens bigint NOT NULL,
    cache_write_1h_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    audio_input_tokens bigint NOT NULL,
    audio_output_tokens bigint NOT NULL,
    total_tokens bigint NOT NULL,
    units jsonb NOT NULL,
    usage_estimated boolean NOT NULL,
    raw_usage jsonb,
    price jsonb NOT NULL,
    cost numeric NOT NULL CHECK (cost >= 0 AND cost < 'Infinity'),
    operator_cost numeric NOT NULL CHECK (operator_cost >= 0 AND operator_cost < 'Infinity'),
    budgets jsonb NOT NULL,
    period text NOT NULL,
    started_at timestamptz NOT NULL,
    latency_ms bigint NOT NULL,
    ttft_ms bigint,
    attempts jsonb NOT NULL,
    cache text NOT NULL,
    dropped_params jsonb NOT NULL,
    decision jsonb,
    simulated boolean NOT NULL,
    tags jsonb NOT NULL,
    content_ref text,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (request_id, started_at)
) PARTITION BY RANGE (started_at);
CREATE INDEX requests_by_time ON requests (started_at, request_id);
CREATE INDEX requests_by_key ON requests (api_key_id, started_at);
CREATE INDEX requests_by_user ON requests (user_id, started_at);

CREATE TABLE requests_default PARTITION OF requests DEFAULT;

-- Makes the partition of a UTC month, and moves what came before it out of the default one; false when it is there.
-- The service may not make tables: it may call this.
CREATE FUNCTION make_request_partition(wanted date) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = analytics, pg_temp AS $$
DECLARE
    first_day date := date_trunc('month', wanted)::date;
    name text := 'requests_' || to_char(first_day, 'YYYY_MM');
    begins timestamptz := first_day::timestamp AT TIME ZONE 'UTC';
    ends timestamptz := (first_day + interval '1 month')::timestamp AT TIME ZONE 'UTC';
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('analytics.partitions'));
    IF to_regclass(format('analytics.%I', name)) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- Writers wait: one that had chosen the default partition before the month's was attached would be refused there.
    LOCK TABLE requests IN SHARE ROW EXCLUSIVE MODE;
    EXECUTE format('CREATE TABLE %I (LIKE requests INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    EXECUTE format(
        'WITH moved AS (DELETE FROM requests_default WHERE started_at >= %L AND started_at < %L RETURNING *)'
        ' INSERT INTO %I SELECT * FROM moved', begins, ends, name);
    EXECUTE format('ALTER TABLE requests ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, begins, ends);
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION make_request_partition(date) FROM PUBLIC;

CREATE TABLE rollups_hourly (
    hour timestamptz NOT NULL,
    api_key_id text,
    user_id text,
    team_id text,
    provider_type text NOT NULL,
    model text NOT NULL,
    source text NOT NULL,
    requests bigint NOT NULL,
    completed bigint NOT NULL,
    failed bigint NOT NULL,
    cancelled bigint NOT NULL,
    cached bigint NOT NULL,
    tracked bigint NOT NULL,
    input_tokens bigint NOT NULL,
    cached_input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    total_tokens bigint NOT NULL,
    latency_ms bigint NOT NULL,
    cost numeric NOT NULL,
    operator_cost numeric NOT NULL,
    UNIQUE NULLS NOT DISTINCT (hour, api_key_id, user_id, team_id, provider_type, model, source)
) WITH (fillfactor = 70);
CREATE INDEX rollups_hourly_by_user ON rollups_hourly (user_id, hour);

CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('event', 'snapshot', 'removal')),
    target text NOT NULL,
    key text NOT NULL,
    body bytea NOT NULL
);

GRANT SELECT, INSERT, UPDATE ON request_ids, rollups_hourly TO analytics;
GRANT SELECT, INSERT, DELETE ON requests, outbox TO analytics;
GRANT EXECUTE ON FUNCTION make_request_partition(date) TO analytics;
