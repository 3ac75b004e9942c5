-- What each source said last of a model's price (prices become current when sources agree), what is held back until a
-- person decides, which prices are pinned, whose turn it is to be read, and what each sync changed.
CREATE TABLE readings (
    source text NOT NULL,
    model_id text NOT NULL,
    fingerprint text NOT NULL,
    price jsonb NOT NULL CHECK (jsonb_typeof(price) = 'object'),
    read_at timestamptz NOT NULL,
    PRIMARY KEY (source, model_id)
);

CREATE INDEX readings_by_model ON readings (model_id);

CREATE TABLE quarantine (
    id text PRIMARY KEY,
    source text NOT NULL,
    subject text NOT NULL,
    reason text NOT NULL CHECK (reason IN ('jump', 'to_zero', 'unconfirmed', 'gone')),
    fingerprint text NOT NULL,
    proposed jsonb NOT NULL,
    present jsonb,
    state text NOT NULL CHECK (state IN ('open', 'accepted', 'refused', 'withdrawn')),
    found_at timestamptz NOT NULL,
    decided_at timestamptz,
    decided_by text,
    UNIQUE (source, subject, fingerprint)
);

CREATE INDEX quarantine_by_state ON quarantine (state, found_at DESC, id DESC);

CREATE TABLE pins (
    model_id text PRIMARY KEY REFERENCES models (id),
    pinned_by text NOT NULL,
    pinned_at timestamptz NOT NULL
);

CREATE TABLE schedules (
    source text PRIMARY KEY,
    next_at timestamptz NOT NULL
);

ALTER TABLE syncs ADD COLUMN held integer NOT NULL DEFAULT 0 CHECK (held >= 0);
ALTER TABLE syncs ADD COLUMN changes jsonb NOT NULL DEFAULT '{}';

GRANT SELECT, INSERT, UPDATE, DELETE ON readings, pins, schedules TO catalog_sync;
GRANT SELECT, INSERT, UPDATE ON quarantine TO catalog_sync;
