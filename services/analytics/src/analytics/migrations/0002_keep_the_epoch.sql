-- In which epoch of Redis a call's cost was held, as its event says it.
ALTER TABLE requests ADD COLUMN epoch text;
