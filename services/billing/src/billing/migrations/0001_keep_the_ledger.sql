-- The books: which events were booked, what stands booked for each request, the ledger, and what is counted a month.
-- Amounts are US dollars as unconstrained numeric: a column with a scale would round without a word.

-- Unpartitioned, for good: a redelivered event must be known however late it comes.
CREATE TABLE usage_event_ids (
    event_id uuid PRIMARY KEY,
    stream_sequence bigint NOT NULL,
    booked_at timestamptz NOT NULL
);

CREATE TABLE charges (
    request_id text PRIMARY KEY,
    event_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('estimated', 'final')),
    api_key_id text,
    user_id text,
    team_id text,
    provider_type text NOT NULL,
    year integer NOT NULL CHECK (year BETWEEN 1970 AND 9999),
    month integer NOT NULL CHECK (month BETWEEN 1 AND 12),
    cost numeric NOT NULL CHECK (cost >= 0 AND cost < 'Infinity'),
    operator_cost numeric NOT NULL CHECK (operator_cost >= 0 AND operator_cost < 'Infinity'),
    input_tokens bigint NOT NULL CHECK (input_tokens >= 0),
    output_tokens bigint NOT NULL CHECK (output_tokens >= 0),
    occurred_at timestamptz NOT NULL,
    booked_at timestamptz NOT NULL
);
CREATE INDEX charges_by_key ON charges (api_key_id);
CREATE INDEX charges_by_user ON charges (user_id);

CREATE TABLE ledger_entries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction_id uuid NOT NULL,
    account text NOT NULL CHECK (account ~ '^(customer|provider|operator):.'),
    amount numeric NOT NULL CHECK (amount <> 0 AND amount > '-Infinity' AND amount < 'Infinity'),
    kind text NOT NULL CHECK (kind IN ('usage', 'correction')),
    request_id text NOT NULL,
    event_id uuid NOT NULL,
    year integer NOT NULL CHECK (year BETWEEN 1970 AND 9999),
    month integer NOT NULL CHECK (month BETWEEN 1 AND 12),
    occurred_at timestamptz NOT NULL,
    booked_at timestamptz NOT NULL
);
CREATE INDEX ledger_entries_by_request ON ledger_entries (request_id);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only: corrections are new entries' USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER ledger_is_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A transaction comes in one statement, so that a statement whose lines do not cancel out is refused as a whole.
CREATE FUNCTION check_transactions_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    culprit uuid;
BEGIN
    SELECT transaction_id INTO culprit FROM written GROUP BY transaction_id HAVING sum(amount) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transaction % does not sum to zero', culprit USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER transactions_balance
    AFTER INSERT ON ledger_entries
    REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION check_transactions_balance();

-- A key's month, by the user whose key it was (a key may change hands); calls without a key have a user only.
CREATE TABLE monthly_usage (
    api_key_id text,
    user_id text,
    year integer NOT NULL CHECK (year BETWEEN 1970 AND 9999),
    month integer NOT NULL CHECK (month BETWEEN 1 AND 12),
    total_requests bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    total_cost numeric NOT NULL,
    UNIQUE NULLS NOT DISTINCT (year, month, api_key_id, user_id)
) WITH (fillfactor = 50);
CREATE INDEX monthly_usage_by_key ON monthly_usage (api_key_id);
CREATE INDEX monthly_usage_by_user ON monthly_usage (user_id);

-- The last known name of each key, so that a revoked one can still be told by it.
CREATE TABLE key_names (
    api_key_id text PRIMARY KEY,
    name text NOT NULL,
    seen_at timestamptz NOT NULL
);

CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('event', 'snapshot', 'removal')),
    target text NOT NULL,
    key text NOT NULL,
    body bytea NOT NULL
);

GRANT SELECT, INSERT ON usage_event_ids, ledger_entries TO billing;
GRANT SELECT, INSERT, UPDATE ON charges, monthly_usage, key_names TO billing;
GRANT SELECT, INSERT, DELETE ON outbox TO billing;
