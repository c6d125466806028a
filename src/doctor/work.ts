/** What the store says about the work: who leads, how lanes run, what is late, who works, and what nobody works at. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { isAlive, isMaintained, isStopped, isYoung, lastRun } from "../maintained.ts"
import { type LaneRun, type Leader, type Overdue, Store, type WorkerRow } from "../store/Store.ts"
import type { Findings, PieceState } from "../store/Upkeep.ts"
import { counted, rounded } from "../texts.ts"
import { fine, type Finding, notice, orFine, wrong } from "./Finding.ts"

export interface KnownLane {
  readonly name: string
  readonly interval: Duration.Duration
  /** It runs in this hour of the day alone. */
  readonly quietHour?: number | undefined
}

export interface WorkOptions {
  /** The lanes there are. */
  readonly lanes: ReadonlyArray<KnownLane>
  readonly staleAfter: Duration.Duration
}

const lateAfter = Duration.seconds(30) // lanes that users wait for look every 5 seconds or more often

export const work = Effect.fnUntraced(function* (options: WorkOptions) {
  const store = yield* Store
  const runs = yield* store.laneRuns
  const leader = yield* store.leader
  const workers = yield* store.workers
  const alive = workers.filter((row) => isAlive(row, options.staleAfter))
  const paused = yield* store.pausedQueues
  const queues = yield* store.readyQueues
  return [
    ...leadership(leader, runs),
    ...lanes(runs, leader, options.lanes),
    ...overdue(yield* store.overdue),
    ...working(workers, alive),
    ...(yield* unserved(
      alive,
      queues.filter((queue) => !paused.includes(queue))
    )),
    ...pausedQueues(paused.filter((queue) => queues.includes(queue))),
    ...storage(yield* store.storage),
    ...damage(yield* store.findings)
  ]
})

const startOne = "start a worker or lanekeeper maintenance"

const leadership = ({ holder, leading, term }: Leader, runs: ReadonlyArray<LaneRun>): ReadonlyArray<Finding> => {
  const since = Option.match(lastRun(runs), {
    onNone: () => "no lane ever ran",
    onSome: (age) => `a lane ran last ${rounded(age)} ago`
  })
  if (!isMaintained(runs)) return [wrong("leader", `No maintenance runs anywhere: ${since}`, startOne)]
  return [
    Option.match(holder, {
      onNone: () => notice("leader", `Nobody leads now, and ${since}: it is done by tick, or was stopped`, startOne),
      onSome: (name) => fine("leader", `${name} leads in term ${term}, for ${rounded(leading)}`)
    })
  ]
}

const lanes = (runs: ReadonlyArray<LaneRun>, leader: Leader, known: WorkOptions["lanes"]): ReadonlyArray<Finding> => {
  const found = known.flatMap(({ interval, name, quietHour }): ReadonlyArray<Finding> => {
    const run = runs.find(({ lane }) => lane === name)
    if (run === undefined && (isYoung(leader, interval) || quietHour !== undefined)) return [] // its time may not have come yet
    if (run === undefined || isStopped(run, quietHour === undefined ? interval : Duration.days(1))) {
      if (!isMaintained(runs)) return [] // one finding says it of all
      const last = run === undefined ? "never ran" : `ran last ${rounded(run.age)} ago`
      return [
        wrong(
          "lanes",
          `The lane ${name} ${last} and should every ${Duration.format(interval)}`,
          "look at the leader's log: it is stopped, hangs, or belongs to a newer release"
        )
      ]
    }
    if (run.failures === 0) return []
    return [
      wrong(
        "lanes",
        `The lane ${name} failed ${counted(run.failures, "time")} in a row: ${run.error}`,
        "mend what the reason names: the lane tries again by itself"
      )
    ]
  })
  const ran = Option.match(lastRun(runs), {
    onNone: () => "No lane ever ran",
    onSome: (age) => `${counted(runs.length, "lane")} ran, the last ${rounded(age)} ago`
  })
  return orFine("lanes", found, ran)
}

const overdue = ({ deadline, scheduled, waiting }: Overdue): ReadonlyArray<Finding> => {
  const late = (what: string, age: Duration.Duration, lane: string) =>
    Duration.isGreaterThan(age, lateAfter)
      ? [wrong("overdue", `The oldest ${what} is ${rounded(age)} late`, `see that the lane ${lane} runs: ${startOne}`)]
      : []
  return orFine(
    "overdue",
    [
      ...late("scheduled job", scheduled, "promote"),
      ...late("attempt past its hard deadline", deadline, "rescue-deadline"),
      ...late("wait that nobody ended", waiting, "rescue-callback")
    ],
    "Nothing is late"
  )
}

const working = (workers: ReadonlyArray<WorkerRow>, alive: ReadonlyArray<WorkerRow>): ReadonlyArray<Finding> => {
  const silent = workers.filter((row) => !alive.includes(row) && !row.declaredDead)
  const found = silent.map(({ beatAge, name }) =>
    wrong(
      "workers",
      `The worker ${name} has been silent for ${rounded(beatAge)} and is not declared dead yet`,
      `see whether it hangs; its jobs are rescued by whoever maintains: ${startOne} if nobody does`
    )
  )
  const dead = workers.length - alive.length - silent.length
  const gone = dead > 0 ? `, ${dead} declared dead` : ""
  if (alive.length > 0 || found.length > 0)
    return orFine("workers", found, `${counted(alive.length, "worker")} alive${gone}`)
  return [notice("workers", `No worker is alive${gone}`, "start one where jobs should run")]
}

/** Ready jobs of kinds that nobody alive would claim from their queue. */
const unserved = Effect.fnUntraced(function* (alive: ReadonlyArray<WorkerRow>, queues: ReadonlyArray<string>) {
  if (alive.some(({ serves }) => Option.isNone(serves))) return [] // it could serve anything
  const store = yield* Store
  const found: Array<Finding> = []
  for (const queue of queues) {
    const serving = alive
      .flatMap(({ serves }) => Option.toArray(serves))
      .filter((serves) => serves.queues.includes(queue))
    const kinds = [...new Set(serving.flatMap((serves) => serves.kinds))]
    for (const { kind } of yield* store.unhandled({ queues: [queue], kinds })) {
      found.push(
        serving.length === 0
          ? wrong(
              "kinds",
              `Jobs of kind ${kind} are ready in ${queue}, which no live worker serves`,
              `start a worker that serves ${queue}`
            )
          : wrong(
              "kinds",
              `Jobs of kind ${kind} are ready in ${queue}, and no live worker there has a handler for it`,
              `deploy a worker with a handler for ${kind}`
            )
      )
    }
  }
  return orFine("kinds", found, "Every kind that has a job ready has a worker")
})

const pausedQueues = (paused: ReadonlyArray<string>): ReadonlyArray<Finding> =>
  paused.map((queue) =>
    notice("queues", `The queue ${queue} is paused and has jobs ready`, `run lanekeeper queues resume ${queue}`)
  )

const cannot = (piece: PieceState["piece"], number: number) => {
  if (piece === "slot" || piece === "shelf") return `The ${piece} ${number} could not be emptied`
  if (piece === "attic") return "The attic could not be cleared"
  const part = piece === "unique_key" ? `, part ${number},` : ""
  return `The dead rows of the table ${piece}${part} could not be left behind`
}

const storage = (pieces: ReadonlyArray<PieceState>): ReadonlyArray<Finding> => {
  const bytes = pieces.reduce((sum, piece) => sum + piece.bytes, 0)
  const kept = pieces.flatMap(({ looked, number, piece }) =>
    Option.match(
      Option.flatMap(looked, ({ why }) => why),
      {
        onNone: () => [],
        onSome: (why) => [
          notice("storage", `${cannot(piece, number)}: ${why}`, "nothing, unless it stays so: it is tried again")
        ]
      }
    )
  )
  return orFine("storage", kept, `${counted(pieces.length, "piece")} of storage, ${(bytes / 1_048_576).toFixed(1)} MiB`)
}

const damage = (findings: Option.Option<Findings>): ReadonlyArray<Finding> =>
  Option.match(findings, {
    onNone: () => [fine("damage", "Nobody has looked yet for rows that contradict each other")],
    onSome: ({ age, damage }) =>
      orFine(
        "damage",
        Object.entries(damage)
          .filter(([, count]) => count > 0)
          .map(([kind, count]) =>
            wrong(
              "damage",
              `${counted(count, "row")} in contradiction to others (${kind}), as of ${rounded(age)} ago`,
              "look for their ids in the leader's log: only somebody who knows what was done to the tables can mend them"
            )
          ),
        `No row contradicts another, as of ${rounded(age)} ago`
      )
  })
