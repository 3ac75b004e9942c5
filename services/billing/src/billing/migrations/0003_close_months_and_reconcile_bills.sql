-- Statements: a month that was closed stays as it is; what is corrected later stands in the next one. And providers' bills,
-- held against what the ledger owes them.

ALTER TABLE ledger_entries
    DROP CONSTRAINT ledger_entries_kind_check,
    ADD CONSTRAINT ledger_entries_kind_check CHECK (kind IN ('usage', 'correction', 'rerating', 'reconciliation'));

-- The month whose statement a line stands in, where that is not its own month: that one was closed when it was booked.
ALTER TABLE ledger_entries
    ADD COLUMN stated_year integer,
    ADD COLUMN stated_month integer CHECK (stated_month BETWEEN 1 AND 12);

CREATE TABLE closed_months (
    year integer NOT NULL,
    month integer NOT NULL CHECK (month BETWEEN 1 AND 12),
    closed_at timestamptz NOT NULL,
    PRIMARY KEY (year, month)
);

-- `usage` and `corrections` are of the month itself, `late` of months that were closed before.
CREATE TABLE statements (
    year integer NOT NULL,
    month integer NOT NULL,
    account text NOT NULL,
    usage numeric NOT NULL,
    corrections numeric NOT NULL,
    late numeric NOT NULL,
    total numeric NOT NULL CHECK (total = usage + corrections + late),
    lines bigint NOT NULL,
    PRIMARY KEY (year, month, account),
    FOREIGN KEY (year, month) REFERENCES closed_months
);

CREATE FUNCTION refuse_change_of_statement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a closed statement does not change: late corrections stand in the next one'
        USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER statements_do_not_change BEFORE UPDATE OR DELETE OR TRUNCATE ON statements
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_statement();
CREATE TRIGGER closed_months_stay_closed BEFORE UPDATE OR DELETE OR TRUNCATE ON closed_months
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_statement();

CREATE TABLE reconciliations (
    id text PRIMARY KEY,
    provider_type text NOT NULL,
    format text NOT NULL,
    first_day date NOT NULL,
    last_day date NOT NULL,
    billed numeric,
    booked numeric NOT NULL,
    drift_ratio numeric,
    is_alarming boolean NOT NULL,
    rows_off integer NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    accepted_by text,
    accepted_at timestamptz
);

CREATE TABLE reconciliation_rows (
    reconciliation_id text NOT NULL REFERENCES reconciliations,
    day date NOT NULL,
    model text NOT NULL,
    billed numeric,
    booked numeric NOT NULL,
    billed_tokens bigint,
    booked_tokens bigint NOT NULL,
    PRIMARY KEY (reconciliation_id, day, model)
);

GRANT SELECT, INSERT ON closed_months, statements, reconciliation_rows TO billing;
GRANT SELECT, INSERT, UPDATE ON reconciliations TO billing;
