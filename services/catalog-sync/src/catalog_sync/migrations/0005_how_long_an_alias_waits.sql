-- Seconds that calls of an alias wait, by phase; what is not there waits as long as any call.
ALTER TABLE aliases ADD COLUMN timeouts jsonb NOT NULL DEFAULT '{}';
