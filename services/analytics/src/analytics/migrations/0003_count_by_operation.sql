-- What was asked for, and sound, are counted apart; until now every call that was counted was one of chat.
ALTER TABLE rollups_hourly
    ADD COLUMN operation text NOT NULL DEFAULT 'chat',
    ADD COLUMN audio_input_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN audio_output_tokens bigint NOT NULL DEFAULT 0;
ALTER TABLE rollups_hourly
    DROP CONSTRAINT rollups_hourly_hour_api_key_id_user_id_team_id_provider_typ_key;
ALTER TABLE rollups_hourly ADD CONSTRAINT rollups_hourly_are_one_each
    UNIQUE NULLS NOT DISTINCT (hour, api_key_id, user_id, team_id, provider_type, model, source, operation);
ALTER TABLE rollups_hourly ALTER COLUMN operation DROP DEFAULT;

-- Whether a provider's report of usage contradicts itself, as its event says it.
ALTER TABLE requests ADD COLUMN usage_anomalous boolean NOT NULL DEFAULT false;
