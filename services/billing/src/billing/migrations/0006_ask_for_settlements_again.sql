-- Settlements that gateways are to make again, by the final: kept with the booking that found them, removed once the list
-- in Redis has them. `noted_at` is their order.
CREATE TABLE resettlements (
    request_id text NOT NULL,
    attempt integer NOT NULL,
    body jsonb NOT NULL,
    noted_at timestamptz NOT NULL,
    PRIMARY KEY (request_id, attempt)
);
CREATE INDEX resettlements_by_age ON resettlements (noted_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON resettlements TO billing;
