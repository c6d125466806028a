/** Times what a worker asks of its store, and reads from the server how large the tables are and how much is dead. */
import type { PgConnection } from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import type { Store } from "../../../src/store/Store.ts"

/** The last are the server's own tables: what is emptied whole or written anew leaves dead rows in them. */
export const families = [
  "job",
  "attempt_end",
  "ticket",
  "lease",
  "timed",
  "unique_key",
  "worker",
  "note",
  "catalogs"
] as const

export const calls = ["claim", "beat", "promote"] as const

export type Call = (typeof calls)[number]

/** Milliseconds of each call, as its caller saw them. */
export class Stopwatch {
  times: Record<Call, Array<number>> = { claim: [], beat: [], promote: [] }
  /** Slots and shelves, since the start. */
  emptied = 0
  /** Small tables, since the start. */
  rewritten = 0

  /** What was timed since the last time. */
  take(): Record<Call, Array<number>> {
    const taken = this.times
    this.times = { claim: [], beat: [], promote: [] }
    return taken
  }

  readonly over = (store: Store["Service"]): Store["Service"] => ({
    ...store,
    claim: (options) => this.timed("claim", store.claim(options)),
    beat: (worker) => this.timed("beat", store.beat(worker)),
    promote: (options) => this.timed("promote", store.promote(options)),
    reclaim: (options) =>
      Effect.tap(store.reclaim(options), ({ emptied, rewritten }) =>
        Effect.sync(() => {
          this.emptied += emptied
          this.rewritten += rewritten
        })
      )
  })

  private timed<A, E>(call: Call, effect: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.suspend(() => {
      const begin = performance.now()
      return Effect.tap(effect, () => Effect.sync(() => this.times[call].push(performance.now() - begin)))
    })
  }
}

export interface Family {
  readonly family: string
  readonly dead: number
  /** With indexes and TOAST. */
  readonly bytes: number
  readonly indexBytes: number
  /** Entries that scans of its indexes returned, since the server began. */
  readonly visited: number
  /** Pages of tables and indexes, from memory or not, since the server began. */
  readonly pages: number
}

/** A table, with its TOAST, or one of its indexes: all parts of it together. */
export interface Relation {
  readonly name: string
  readonly isIndex: boolean
  readonly bytes: number
}

const familiesStatement = `
  SELECT CASE schemaname WHEN 'lanekeeper' THEN regexp_replace(relname, '_[0-9]+$', '') ELSE 'catalogs' END AS family, sum(n_dead_tup)::float8 AS dead,
    sum(pg_total_relation_size(relid))::float8 AS bytes, sum(pg_indexes_size(relid))::float8 AS "indexBytes",
    coalesce(sum(visited), 0)::float8 AS visited,
    sum(heap_blks_read + heap_blks_hit + coalesce(idx_blks_read + idx_blks_hit, 0))::float8 AS pages
  FROM pg_stat_all_tables JOIN pg_statio_all_tables AS io USING (relid, schemaname, relname)
  CROSS JOIN LATERAL (SELECT sum(idx_tup_read) AS visited FROM pg_stat_all_indexes AS index WHERE index.relid = io.relid) AS read
  WHERE schemaname IN ('lanekeeper', 'pg_catalog') GROUP BY 1`

const relationsStatement = `
  SELECT regexp_replace(relname, '_[0-9]+(_|$)', '\\1') AS name, relkind = 'i' AS "isIndex",
    sum(CASE relkind WHEN 'i' THEN pg_relation_size(oid) ELSE pg_table_size(oid) END)::float8 AS bytes
  FROM pg_class WHERE relnamespace = 'lanekeeper'::regnamespace AND relkind IN ('r', 'i')
  GROUP BY 1, 2 ORDER BY 2, 1`

export const readRelations = (connection: PgConnection) =>
  Effect.map(connection.query(relationsStatement, [], false), ({ rows }) => rows as unknown as ReadonlyArray<Relation>)

/** What is not of a family that is watched is "other". */
export const readFamilies = (connection: PgConnection) =>
  Effect.map(connection.query(familiesStatement, [], false), ({ rows }) => {
    const found = rows as unknown as ReadonlyArray<Family>
    const add = (family: string, some: ReadonlyArray<Family>): Family => {
      const sum = (value: Exclude<keyof Family, "family">) => some.reduce((all, one) => all + one[value], 0)
      return {
        family,
        dead: sum("dead"),
        bytes: sum("bytes"),
        indexBytes: sum("indexBytes"),
        visited: sum("visited"),
        pages: sum("pages")
      }
    }
    const isWatched = ({ family }: Family) => families.some((name) => name === family)
    return [
      ...families.map((name) =>
        add(
          name,
          found.filter(({ family }) => family === name)
        )
      ),
      add(
        "other",
        found.filter((one) => !isWatched(one))
      )
    ]
  })
