/** Writes what maintenance remembers: who leads, since when workers are watched, and how each lane ran last. */
import type { Migration } from "../Migrations.ts"

export const maintenance: Migration = {
  version: 3,
  name: "maintenance",
  oldest: 1,
  statements: (schema) => [
    `CREATE TABLE ${schema}.leader (
  term bigint PRIMARY KEY,
  only_row boolean NOT NULL UNIQUE DEFAULT true CHECK (only_row),
  holder text,
  since timestamptz,
  expires_at timestamptz
)`,
    `COMMENT ON TABLE ${schema}.leader IS 'The last term. It is the key, so that a statement that names it, and holds it FOR KEY SHARE, stops the next term and no renewal. expires_at is for leaders by lease.'`,
    `INSERT INTO ${schema}.leader (term) VALUES (0)`,

    `CREATE TABLE ${schema}.watch (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  since timestamptz NOT NULL DEFAULT 'epoch',
  looked_at timestamptz NOT NULL DEFAULT 'epoch'
)`,
    `COMMENT ON TABLE ${schema}.watch IS 'Since when somebody has looked at the beats without a break, and when last: silence that nobody watched is no evidence.'`,
    `INSERT INTO ${schema}.watch DEFAULT VALUES`,

    `CREATE TABLE ${schema}.lane_run (
  lane text COLLATE "C" PRIMARY KEY,
  started_at timestamptz NOT NULL,
  took_ms float8 NOT NULL,
  rows bigint NOT NULL,
  failures int NOT NULL,
  error text
)`,
    `COMMENT ON TABLE ${schema}.lane_run IS 'The last run of each lane, whoever ran it.'`
  ]
}
