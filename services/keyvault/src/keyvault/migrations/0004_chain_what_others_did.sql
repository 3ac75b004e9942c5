-- Events of stream AUDIT that are in the trail: told again, they are not chained again.

CREATE TABLE chained_events (
    event_id text PRIMARY KEY,
    entry_id bigint NOT NULL
);
GRANT SELECT, INSERT ON chained_events TO keyvault;
