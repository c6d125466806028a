/**
 * Writes random scripts: sequences of moves as data. A script names jobs, attempts and workers by how long ago they came,
 * 0 being the latest, so that it means something after any of its lines is taken away.
 */
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import type { Expiry } from "../../src/domain/Attempt.ts"

/** In hours, so that the milliseconds a database takes decide nothing. */
export interface ScriptedJob {
  readonly queue: string
  readonly kind: string
  readonly priority: number
  readonly in?: number | undefined
  readonly at?: number | undefined
  readonly deadline?: number | undefined
  /** It declares what is to follow when it is rescued or dies. */
  readonly followed?: boolean | undefined
}

export type ScriptedEnding =
  | { readonly as: "Completed" | "Released" | "Died" | "Cancelled" }
  | { readonly as: "Failed" | "Snoozed"; readonly hours: number }
  | { readonly as: "Parked"; readonly token: string; readonly hours: number; readonly onExpiry: Expiry }

export interface ScriptedEnd {
  /** Among those this caller has not ended yet; or, as a late or repeated outcome, among all it ever claimed. */
  readonly attempt: number
  readonly late?: boolean | undefined
  readonly ending: ScriptedEnding
}

export type Command =
  | { readonly move: "enqueue"; readonly jobs: ReadonlyArray<ScriptedJob> }
  | {
      readonly move: "enqueueUnique"
      readonly job: ScriptedJob
      readonly key: string
      readonly onConflict: "keep" | "replace" | "merge"
    }
  | {
      readonly move: "claim"
      readonly worker: number
      readonly kinds: ReadonlyArray<string>
      readonly queues: ReadonlyArray<readonly [queue: string, limit: number, ahead?: number]>
      readonly brink?: { readonly from: number; readonly room: number } | undefined
    }
  /** Leases of these attempts, by the worker of the first. */
  | { readonly move: "begin"; readonly attempts: ReadonlyArray<number> }
  | { readonly move: "unhandled"; readonly kinds: ReadonlyArray<string> }
  /** `by`: another worker than the one that claimed the first of these attempts. */
  | { readonly move: "finish"; readonly ends: ReadonlyArray<ScriptedEnd>; readonly by?: number | undefined }
  | { readonly move: "promote" | "expireWaits"; readonly limit: number }
  | { readonly move: "rescueOverdue"; readonly limit: number; readonly crashBudget: number }
  | { readonly move: "rescueWorker"; readonly worker: number; readonly limit: number; readonly crashBudget: number }
  /** Leases of these attempts, by the worker of the first. */
  | { readonly move: "release"; readonly attempts: ReadonlyArray<number> }
  | {
      readonly move: "resume"
      readonly token: string
      readonly as: "Resumed" | "Completed" | "Died" | "Cancelled"
      readonly in?: number | undefined
    }
  | { readonly move: "cancel" | "setAside" | "runNow" | "redrive" | "purge" | "show"; readonly job: number }
  | { readonly move: "postpone"; readonly job: number; readonly hours: number }
  | {
      readonly move: "reassign"
      readonly job: number
      readonly queue?: string | undefined
      readonly priority?: number | undefined
    }
  | { readonly move: "pause" | "unpause"; readonly queue: string }
  | { readonly move: "register" }
  | { readonly move: "beat" | "forget"; readonly worker: number }
  | { readonly move: "declareDead"; readonly worker: number; readonly late?: boolean | undefined }
  | { readonly move: "page"; readonly queue: string; readonly after?: number | undefined; readonly limit: number }
  | { readonly move: "elapse"; readonly hours: number }

export type Script = ReadonlyArray<Command>

/** A line a command, to be pasted into a test. */
export const print = (script: Script): string =>
  `[\n${script.map((command) => `  ${JSON.stringify(command)}`).join(",\n")}\n]`

/** Literals, because they are drawn evenly; integers are drawn from their bounds more often than from between. */
const upTo = (maximum: number) =>
  Arbitrary.schema(Schema.Literals(Array.from({ length: maximum + 1 }, (_, index) => index)))

const oneOf = <const A>(...values: ReadonlyArray<A>): Arbitrary.Arbitrary<A> =>
  Arbitrary.map(upTo(values.length - 1), (index) => values[index]!)

const weighted = <A>(...choices: ReadonlyArray<readonly [weight: number, choice: Arbitrary.Arbitrary<A>]>) => {
  const drawn = choices.flatMap(([weight, choice]) => Array.from({ length: weight }, () => choice))
  return Arbitrary.flatMap(upTo(drawn.length - 1), (index) => drawn[index]!)
}

const some = <A>(item: Arbitrary.Arbitrary<A>, maxLength: number) => Arbitrary.array(item, { minLength: 1, maxLength })

const constant = Arbitrary.Constant

const queue = oneOf("post", "bulk")
const token = oneOf("a", "b")
const job = upTo(5)
const attempt = upTo(5)
const worker = oneOf(0, 0, 0, 0, 1, 2)
const limit = oneOf(100, 1, 2, 100)
const crashBudget = oneOf(1, 0, 3)
const hours = oneOf(1, 2, 0)

const scriptedJob: Arbitrary.Arbitrary<ScriptedJob> = weighted<ScriptedJob>(
  [3, Arbitrary.all({ queue, kind: oneOf("x", "x", "y"), priority: oneOf(5, 5, 0, 9) })],
  [1, Arbitrary.all({ queue, kind: constant("x"), priority: constant(5), in: oneOf(1, 2, 0, 11) })],
  [1, Arbitrary.all({ queue, kind: constant("x"), priority: constant(5), at: oneOf(1.5, 0.5, -0.5) })],
  [2, Arbitrary.all({ queue, kind: constant("x"), priority: oneOf(5, 0), deadline: oneOf(1, 2) })],
  [2, Arbitrary.all({ queue, kind: constant("x"), priority: constant(5), followed: constant(true) })]
)

const ending: Arbitrary.Arbitrary<ScriptedEnding> = weighted<ScriptedEnding>(
  [2, constant({ as: "Completed" })],
  [2, constant({ as: "Released" })],
  [2, constant({ as: "Died" })],
  [1, constant({ as: "Cancelled" })],
  [3, Arbitrary.all({ as: oneOf("Failed", "Snoozed"), hours })],
  [4, Arbitrary.all({ as: constant("Parked"), token, hours: oneOf(1, 2), onExpiry: oneOf("retry", "die", "cancel") })]
)

const end: Arbitrary.Arbitrary<ScriptedEnd> = Arbitrary.all({
  attempt: upTo(4),
  ending,
  late: oneOf(undefined, undefined, undefined, true)
})

const enqueue: Arbitrary.Arbitrary<Command> = Arbitrary.all({
  move: constant("enqueue"),
  jobs: some(scriptedJob, 4)
})

const enqueueUnique: Arbitrary.Arbitrary<Command> = Arbitrary.all({
  move: constant("enqueueUnique"),
  job: scriptedJob,
  key: oneOf("a", "a", "b"),
  onConflict: oneOf("keep", "keep", "replace", "merge")
})

const claim: Arbitrary.Arbitrary<Command> = Arbitrary.all({
  move: constant("claim"),
  worker,
  kinds: oneOf(["x", "y"], ["y", "x"], ["x"]),
  brink: oneOf(undefined, undefined, undefined, { from: 1, room: 0 }, { from: 1, room: 1 }, { from: 2, room: 1 }),
  queues: oneOf<ReadonlyArray<readonly [string, number, number?]>>(
    [["post", 3]],
    [["bulk", 2]],
    [
      ["bulk", 9],
      ["post", 1]
    ],
    [
      ["post", 2],
      ["bulk", 2]
    ],
    [["post", 9]],
    [["post", 1, 2]],
    [
      ["bulk", 0, 2],
      ["post", 2, 9]
    ]
  )
})

const finish: Arbitrary.Arbitrary<Command> = Arbitrary.all({
  move: constant("finish"),
  ends: some(end, 3),
  by: oneOf(undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, 0, 1)
})

type OneJob = "cancel" | "setAside" | "runNow" | "redrive" | "purge" | "show"

const oneJob = (job: Arbitrary.Arbitrary<number>, ...moves: ReadonlyArray<OneJob>) =>
  Arbitrary.all({ move: oneOf(...moves), job })

const batch: Arbitrary.Arbitrary<Command> = weighted<Command>(
  [1, Arbitrary.all({ move: oneOf("promote", "expireWaits"), limit })],
  [1, Arbitrary.all({ move: constant("rescueOverdue"), limit, crashBudget })]
)

const rescue: Arbitrary.Arbitrary<Command> = Arbitrary.all({
  move: constant("rescueWorker"),
  worker,
  limit,
  crashBudget
})

const resume: Arbitrary.Arbitrary<Command> = Arbitrary.all({
  move: constant("resume"),
  token,
  as: oneOf("Resumed", "Resumed", "Completed", "Died", "Cancelled"),
  in: oneOf(undefined, undefined, 1, 0)
})

const elapse: Arbitrary.Arbitrary<Command> = Arbitrary.all({ move: constant("elapse"), hours: oneOf(1, 2, 12) })

const declareDead: Arbitrary.Arbitrary<Command> = Arbitrary.all({
  move: constant("declareDead"),
  worker,
  late: oneOf(undefined, true)
})

/** The moves that can meet. */
const moves = (job: Arbitrary.Arbitrary<number>): ReadonlyArray<readonly [number, Arbitrary.Arbitrary<Command>]> => [
  [3, enqueue],
  [2, enqueueUnique],
  [5, claim],
  [6, finish],
  [2, batch],
  [1, rescue],
  [1, Arbitrary.all({ move: constant("release"), attempts: some(attempt, 3) })],
  [2, Arbitrary.all({ move: constant("begin"), attempts: some(attempt, 3) })],
  [3, resume],
  [4, oneJob(job, "cancel")],
  [4, oneJob(job, "redrive", "redrive", "setAside", "runNow")],
  [1, oneJob(job, "purge")],
  [1, Arbitrary.all({ move: constant("postpone"), job, hours: oneOf(1, 2) })],
  [
    2,
    Arbitrary.all({
      move: constant("reassign"),
      job,
      queue: oneOf(undefined, "post", "bulk"),
      priority: oneOf(undefined, 5, 0)
    })
  ]
]

/** What else happens to a store that one caller has for itself. */
const around: ReadonlyArray<readonly [number, Arbitrary.Arbitrary<Command>]> = [
  [1, Arbitrary.all({ move: oneOf("beat", "beat", "forget"), worker })],
  [1, Arbitrary.all({ move: constant("page"), queue, after: oneOf(undefined, 1, 3), limit: oneOf(2, 9) })],
  [1, oneJob(job, "show")],
  [1, Arbitrary.all({ move: constant("unhandled"), kinds: oneOf(["x"], ["x", "y"], [], ["w", "y", "z"]) })],
  [1, elapse]
]

const phrase = (...lines: ReadonlyArray<Arbitrary.Arbitrary<Command>>): Arbitrary.Arbitrary<Script> =>
  Arbitrary.all(lines)

/** A worker vanishes and another takes its place. */
const vanished = (worker: number): Script => [
  { move: "declareDead", worker },
  { move: "register" },
  { move: "rescueWorker", worker: worker + 1, limit: 100, crashBudget: 1 }
]

const aside = (job: number): Script => [
  { move: "setAside", job },
  { move: "redrive", job }
]

const wantedTwice = (job: number): Script => [
  { move: "claim", worker: 0, kinds: ["x", "y"], queues: [["post", 9]] },
  { move: "cancel", job },
  { move: "cancel", job }
]

/** A job dies, another is enqueued under its key, and the first is driven again. */
const keyed = (onConflict: "keep" | "replace"): Script => {
  const job = { queue: "post", kind: "x", priority: 5 }
  return [
    { move: "enqueueUnique", job, key: "a", onConflict },
    { move: "setAside", job: 0 },
    { move: "enqueueUnique", job, key: "a", onConflict },
    { move: "redrive", job: 1 }
  ]
}

/** Jobs that crashed once, twice, … in one queue with others. */
const crashing: Script = [
  { move: "enqueue", jobs: [5, 5, 9].map((priority) => ({ queue: "post", kind: "x", priority })) },
  { move: "claim", worker: 0, kinds: ["x"], queues: [["post", 2]] },
  ...vanished(0)
]

const shortly = (limit: number): Script => [
  { move: "enqueue", jobs: [2, 1, 2].map((hours) => ({ queue: "post", kind: "x", priority: 5, in: hours })) },
  { move: "elapse", hours: 2 },
  { move: "promote", limit }
]

/** Lines that seldom meet by chance. */
const phrases: Arbitrary.Arbitrary<Script> = weighted<Script>(
  [24, phrase(weighted(...moves(job), ...around))],
  [3, phrase(enqueue, claim)],
  [3, phrase(claim, finish)],
  [3, phrase(elapse, batch)],
  [2, Arbitrary.map(oneOf(0, 0, 1), vanished)],
  [1, phrase(Arbitrary.all({ move: constant("declareDead"), worker: constant(0), late: constant(true) }))],
  [1, phrase(finish, resume)],
  [1, Arbitrary.map(job, aside)],
  [1, Arbitrary.map(attempt, wantedTwice)],
  [2, Arbitrary.map(oneOf("keep", "replace"), keyed)],
  [2, constant(crashing)],
  [1, Arbitrary.map(oneOf(1, 2), shortly)],
  [1, Arbitrary.map(queue, (queue) => [{ move: "pause", queue }, paused, { move: "unpause", queue }])]
)

const paused: Command = { move: "claim", worker: 0, kinds: ["x"], queues: [["post", 1]] }

export const script = (options: { readonly minLength: number; readonly maxLength: number }) =>
  Arbitrary.map(Arbitrary.array(phrases, options), (drawn): Script => [...opening, ...drawn.flat()])

const opening: Script = [{ move: "register" }, { move: "register" }]

export interface Meeting {
  /** What happened before they met. */
  readonly before: Script
  readonly callers: ReadonlyArray<Script>
}

/** They meet over one job, more often than not. */
export const meeting: Arbitrary.Arbitrary<Meeting> = Arbitrary.flatMap(job, (same) => {
  const line = weighted<Command>(...moves(oneOf(same, same, same, 0)), [1, declareDead])
  return Arbitrary.all({
    before: script({ minLength: 0, maxLength: 16 }),
    callers: Arbitrary.array(some(line, 2), { minLength: 2, maxLength: 3 })
  })
})
