-- How far the stream was compared with what is booked, and what was found missing.
CREATE TABLE audited_stream (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    sequence bigint NOT NULL,
    audited_at timestamptz NOT NULL
);

CREATE TABLE stream_gaps (
    sequence bigint PRIMARY KEY,
    event_id text NOT NULL,
    found_at timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE ON audited_stream TO billing;
GRANT SELECT, INSERT, DELETE ON stream_gaps TO billing;
