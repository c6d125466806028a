/** Writes what attempts remember: one row per job and name, whatever becomes of the job's body. */
import type { Migration } from "../Migrations.ts"

export const notes: Migration = {
  version: 5,
  name: "notes",
  oldest: 1,
  statements: (schema) => [
    `CREATE TABLE ${schema}.note (
  job bigint NOT NULL,
  slot smallint NOT NULL,
  attempt int NOT NULL CHECK (attempt > 0),
  noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  name text COLLATE "C" NOT NULL CHECK (name <> ''),
  value jsonb,
  PRIMARY KEY (job, name)
)`,
    `COMMENT ON TABLE ${schema}.note IS 'What attempts leave for the ones after them: results of steps, progress, checkpoints, logs.'`,
    `CREATE INDEX note_age ON ${schema}.note (noted_at)`
  ]
}
