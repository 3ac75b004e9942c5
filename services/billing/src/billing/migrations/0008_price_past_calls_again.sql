-- Calls of a past period priced again: which of them were, and by which re-rating; whether anybody owes us anything for a
-- call, so that one which cost nothing by mistake can be priced; and a rebuild that prices again what had been.

ALTER TABLE charges ADD COLUMN is_billable boolean NOT NULL DEFAULT true, ADD COLUMN rerating_id text;
UPDATE charges SET is_billable = false WHERE counted > cost OR attempts = '[]';

-- One that was booked: `rows` are what it changed, by account, model and day (the largest thousand).
CREATE TABLE reratings (
    id text PRIMARY KEY,
    first_day date NOT NULL,
    last_day date NOT NULL,
    provider_type text,
    model text,
    calls bigint NOT NULL,
    before numeric NOT NULL,
    after numeric NOT NULL,
    rows jsonb NOT NULL,
    booked_by text NOT NULL,
    booked_at timestamptz NOT NULL
);
CREATE INDEX reratings_by_age ON reratings (booked_at);

GRANT SELECT, INSERT ON reratings TO billing;

CREATE OR REPLACE FUNCTION begin_rebuild() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CREATE TEMP TABLE kept_events ON COMMIT DROP AS SELECT event_id FROM usage_event_ids;
    CREATE UNIQUE INDEX ON kept_events (event_id);
    CREATE TEMP TABLE kept_entries ON COMMIT DROP AS
        SELECT * FROM ledger_entries WHERE kind NOT IN ('usage', 'correction') ORDER BY id;
    CREATE TEMP TABLE kept_stated ON COMMIT DROP AS
        SELECT DISTINCT event_id, year, month, stated_year, stated_month FROM ledger_entries
        WHERE stated_year IS NOT NULL AND kind IN ('usage', 'correction');
    CREATE TEMP TABLE kept_settled ON COMMIT DROP AS SELECT request_id, settled FROM charges;
    CREATE TEMP TABLE kept_rerated ON COMMIT DROP AS SELECT * FROM charges WHERE rerating_id IS NOT NULL;
    CREATE UNIQUE INDEX ON kept_rerated (request_id);
    CREATE TEMP TABLE kept_counters ON COMMIT DROP AS SELECT * FROM counters;
    ALTER TABLE ledger_entries DISABLE TRIGGER ledger_is_append_only;
    TRUNCATE usage_event_ids, charges, ledger_entries, monthly_usage, provider_days, quota_calls, counters;
END
$$;

-- The charges that had been priced again, as they stood, from above a request's id.
CREATE FUNCTION rerated_after(last_request text, most integer) RETURNS SETOF charges LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT * FROM kept_rerated WHERE request_id > last_request ORDER BY request_id LIMIT most;
END
$$;

CREATE FUNCTION mark_rerated() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE charges AS c SET rerating_id = k.rerating_id FROM kept_rerated AS k WHERE c.request_id = k.request_id;
END
$$;
