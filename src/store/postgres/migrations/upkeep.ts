/** Writes what upkeep remembers: how each piece of storage was found, and the figures of the last count. */
import type { Migration } from "../Migrations.ts"
import { rewrite } from "./rewrite.ts"

export const upkeep: Migration = {
  version: 4,
  name: "upkeep",
  oldest: 1,
  statements: (schema) => [
    `CREATE TABLE ${schema}.look (
  piece text COLLATE "C" NOT NULL,
  number smallint NOT NULL,
  looked_at timestamptz NOT NULL,
  again_at timestamptz NOT NULL,
  rows bigint NOT NULL,
  alive bigint NOT NULL,
  why text,
  PRIMARY KEY (piece, number)
)`,
    `COMMENT ON TABLE ${schema}.look IS 'The last look at each piece of storage: why it could not be emptied or written anew, and when it is worth looking again.'`,

    `CREATE TABLE ${schema}.stats (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  taken_at timestamptz NOT NULL,
  over_ms float8,
  last_number bigint NOT NULL,
  queues jsonb NOT NULL
)`,
    `COMMENT ON TABLE ${schema}.stats IS 'The last count of all jobs, by queue: how many stand where, and how many came and went since the count before, over_ms earlier.'`,

    `CREATE TABLE ${schema}.survey (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  step smallint NOT NULL DEFAULT 0,
  after bigint NOT NULL DEFAULT 0,
  found jsonb NOT NULL DEFAULT '{}',
  told jsonb NOT NULL DEFAULT '{}',
  ended_at timestamptz,
  damage jsonb NOT NULL DEFAULT '{}'
)`,
    `COMMENT ON TABLE ${schema}.survey IS 'Where the walk for damage stands, what it has found so far, and what the last whole one found.'`,
    `INSERT INTO ${schema}.survey DEFAULT VALUES`,
    ...rewrite(schema)
  ]
}
