-- Provider keys may be kept in a secrets manager, too.

ALTER TABLE credentials DROP CONSTRAINT credentials_source_check;
ALTER TABLE credentials ADD CONSTRAINT credentials_source_check
    CHECK (source IN ('environment', 'api', 'simulator', 'secrets_manager'));
