-- One number that grows with every write of the catalog: what was made of the tables (an answer kept in a cache) is as
-- true as its number is the present one. Writers take turns, so the one row is no bottleneck.
CREATE TABLE revisions (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    number bigint NOT NULL CHECK (number >= 0)
);

INSERT INTO revisions (number) VALUES (0);

-- A price that was written down ahead of its time changes the list when it starts, without a write.
CREATE INDEX prices_by_start ON prices (starts_at);

GRANT SELECT, UPDATE ON revisions TO catalog_sync;
