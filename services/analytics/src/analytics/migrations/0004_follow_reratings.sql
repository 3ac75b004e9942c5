-- By how much calls that were priced again cost more than their events told (negative: less), each re-rating of a call once,
-- for good: what makes redelivery count once. Rollups have those whose call's final is in the log; a correction that comes
-- first waits here for it.
CREATE TABLE corrections (
    request_id text NOT NULL,
    rerating_id text NOT NULL,
    cost numeric NOT NULL,
    operator_cost numeric NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (request_id, rerating_id)
);

GRANT SELECT, INSERT ON corrections TO analytics;
