-- Teams with their members and limits; limits of users. A limit that is null is none.

CREATE TABLE teams (
    id text PRIMARY KEY,
    name text NOT NULL,
    enabled boolean NOT NULL,
    rate_limit integer CHECK (rate_limit >= 1),
    token_limit bigint CHECK (token_limit >= 1),
    max_concurrency integer CHECK (max_concurrency >= 1),
    monthly_budget numeric CHECK (monthly_budget >= 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    removed_at timestamptz,
    CHECK (removed_at IS NULL OR NOT enabled)
);

CREATE TABLE team_members (
    team_id text NOT NULL REFERENCES teams (id),
    user_id text NOT NULL REFERENCES users (id),
    added_at timestamptz NOT NULL,
    PRIMARY KEY (team_id, user_id)
);
CREATE INDEX team_members_user ON team_members (user_id, team_id);

ALTER TABLE users
    ADD COLUMN rate_limit integer CHECK (rate_limit >= 1),
    ADD COLUMN token_limit bigint CHECK (token_limit >= 1),
    ADD COLUMN max_concurrency integer CHECK (max_concurrency >= 1),
    ADD COLUMN monthly_budget numeric CHECK (monthly_budget >= 0);

-- Not of older rows: a key's team was any text before there were teams.
ALTER TABLE virtual_keys ADD CONSTRAINT virtual_keys_team FOREIGN KEY (team_id) REFERENCES teams (id) NOT VALID;
CREATE INDEX virtual_keys_of_team ON virtual_keys (team_id, id);

GRANT SELECT, INSERT, UPDATE ON teams TO keyvault;
GRANT SELECT, INSERT, DELETE ON team_members TO keyvault;
