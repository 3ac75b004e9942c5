-- Credentials of users: which is the default, what is known of whether they work, and since when their secret is there.

ALTER TABLE credentials
    ADD COLUMN is_default boolean NOT NULL DEFAULT false,
    ADD COLUMN fallback_to_system boolean NOT NULL DEFAULT false,
    ADD COLUMN verdict text NOT NULL DEFAULT 'unvalidated' CHECK (verdict IN ('unvalidated', 'valid', 'invalid')),
    ADD COLUMN judged_at timestamptz,
    ADD COLUMN last_validated_at timestamptz,
    ADD COLUMN secret_at timestamptz;
UPDATE credentials SET secret_at = updated_at;
ALTER TABLE credentials
    ALTER COLUMN secret_at SET NOT NULL,
    ADD CHECK (NOT is_default OR (enabled AND owner_user_id IS NOT NULL));

CREATE UNIQUE INDEX credentials_own ON credentials (owner_user_id, provider_type)
    WHERE owner_user_id IS NOT NULL AND enabled;
CREATE UNIQUE INDEX credentials_default ON credentials (owner_user_id) WHERE is_default;
CREATE INDEX credentials_of_owner ON credentials (owner_user_id, id) WHERE owner_user_id IS NOT NULL;
