-- Rebuilding the books from the stream, in one transaction of the owner's (the service's role may not truncate). What the
-- stream does not tell is kept beside: corrections that people booked, closed statements, and what Redis holds as settled.

CREATE FUNCTION begin_rebuild() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CREATE TEMP TABLE kept_events ON COMMIT DROP AS SELECT event_id FROM usage_event_ids;
    CREATE UNIQUE INDEX ON kept_events (event_id);
    CREATE TEMP TABLE kept_entries ON COMMIT DROP AS
        SELECT * FROM ledger_entries WHERE kind NOT IN ('usage', 'correction') ORDER BY id;
    CREATE TEMP TABLE kept_stated ON COMMIT DROP AS
        SELECT DISTINCT event_id, year, month, stated_year, stated_month FROM ledger_entries
        WHERE stated_year IS NOT NULL AND kind IN ('usage', 'correction');
    CREATE TEMP TABLE kept_settled ON COMMIT DROP AS SELECT request_id, settled FROM charges;
    CREATE TEMP TABLE kept_counters ON COMMIT DROP AS SELECT * FROM counters;
    ALTER TABLE ledger_entries DISABLE TRIGGER ledger_is_append_only;
    TRUNCATE usage_event_ids, charges, ledger_entries, monthly_usage, provider_days, quota_calls, counters;
END
$$;

CREATE FUNCTION kept_among(wanted uuid[]) RETURNS SETOF uuid LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT event_id FROM kept_events WHERE event_id = ANY(wanted);
END
$$;

CREATE FUNCTION end_rebuild() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_entries (transaction_id, account, amount, kind, request_id, event_id, year, month, occurred_at,
        booked_at, stated_year, stated_month)
        SELECT transaction_id, account, amount, kind, request_id, event_id, year, month, occurred_at, booked_at,
            stated_year, stated_month FROM kept_entries ORDER BY id;
    UPDATE ledger_entries AS e SET stated_year = k.stated_year, stated_month = k.stated_month
        FROM kept_stated AS k WHERE e.event_id = k.event_id AND e.year = k.year AND e.month = k.month;
    UPDATE charges AS c SET settled = k.settled FROM kept_settled AS k WHERE c.request_id = k.request_id;
    UPDATE counters AS c SET settled = k.settled, version = k.version + 1
        FROM kept_counters AS k WHERE c.scope = k.scope AND c.period = k.period;
    INSERT INTO counters SELECT * FROM kept_counters ON CONFLICT DO NOTHING;
    ALTER TABLE ledger_entries ENABLE TRIGGER ledger_is_append_only;
END
$$;
