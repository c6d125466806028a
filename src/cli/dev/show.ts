/** What `dev` shows: everything in it was read from the database a moment ago. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { places } from "../../domain/Job.ts"
import { type Census, census } from "../../store/postgres/census.ts"
import type { SchemaName } from "../../store/postgres/SchemaName.ts"
import { type LaneRun, type Leader, Store, type WorkerRow } from "../../store/Store.ts"
import { rounded } from "../../texts.ts"
import { table } from "../table.ts"

export interface Seen extends Census {
  readonly leader: Leader
  readonly workers: ReadonlyArray<WorkerRow>
  readonly runs: ReadonlyArray<LaneRun>
}

export const look = Effect.fnUntraced(function* (sql: PgClient, schema: SchemaName) {
  const store = yield* Store
  const counted = yield* census(sql, schema)
  const seen: Seen = {
    ...counted,
    leader: yield* store.leader,
    workers: yield* store.workers,
    runs: yield* store.laneRuns
  }
  return seen
})

const counts = (of: Readonly<Record<string, number>>) =>
  Object.entries(of)
    .map(([name, count]) => `${name} ${count}`)
    .join("  ") || "no job"

const everyPlace = (seen: Seen) => Object.fromEntries(places.map((place) => [place, seen.places[place] ?? 0]))

/** Names processes as they were started here, and others as they call themselves. */
export type Naming = (name: string) => string

const leads = ({ holder, leading, term }: Leader, naming: Naming) =>
  Option.match(holder, {
    onNone: () => "nobody",
    onSome: (name) => `${naming(name)} in term ${term}, for ${rounded(leading)}`
  })

/** One line, for where nothing can be written over. */
export const line = (seen: Seen, naming: Naming) =>
  `${counts(Object.fromEntries(Object.entries(everyPlace(seen)).filter(([, count]) => count > 0)))}; leader: ${leads(seen.leader, naming)}`

export const screen = (seen: Seen, naming: Naming): string =>
  [
    table([texts(everyPlace(seen))]),
    "",
    processes(seen, naming),
    "",
    seen.runs.length === 0 ? "No lane has told of a run yet: they do every 5 seconds" : lanes(seen.runs),
    "",
    `attempts so far: ${counts(seen.ends)}`
  ].join("\n")

const texts = (counts: Readonly<Record<string, number>>) =>
  Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, `${count}`]))

const processes = ({ leader, workers }: Seen, naming: Naming) => {
  const rows = workers.map(({ beatAge, declaredDead, name }) => ({
    process: naming(name),
    state: declaredDead ? "declared dead" : `beat ${rounded(beatAge)} ago`
  }))
  return `${rows.length === 0 ? "No worker is there" : table(rows)}\nleader: ${leads(leader, naming)}`
}

const lanes = (runs: ReadonlyArray<LaneRun>) =>
  table(
    runs.map(({ age, error, lane, rows, took }) => ({
      lane,
      "last run": `${rounded(age)} ago`,
      took: rounded(took),
      rows: `${rows}`,
      result: error ?? "done"
    }))
  )

export const summary = (seen: Seen, took: Duration.Duration): string => {
  const { ends, places } = seen
  const left = Object.entries(places).filter(([place]) => !["completed", "cancelled", "dead"].includes(place))
  const facts: ReadonlyArray<readonly [string, string]> = [
    [
      "jobs",
      `${places.completed ?? 0} completed, ${places.dead ?? 0} dead, ${left.reduce((sum, [, jobs]) => sum + jobs, 0)} not over`
    ],
    [
      "attempts",
      `${ends.completed ?? 0} succeeded, ${ends.failed ?? 0} failed and were tried again, ${ends.died ?? 0} failed for good`
    ],
    [
      "",
      `${ends.snoozed ?? 0} snoozed, ${ends.rescued ?? 0} rescued from a worker that vanished, ${ends.released ?? 0} given back`
    ],
    ["leading", `${seen.leader.term} ${seen.leader.term === 1n ? "term" : "terms"}`],
    [
      "lanes",
      `${seen.runs.filter(({ failures }) => failures === 0).length} of ${seen.runs.length} ran last without a fault`
    ]
  ]
  const lines = facts.map(([name, value]) => `  ${name.padEnd(9)} ${value}`)
  return [`After ${rounded(took)} the database says`, ...lines].join("\n")
}
