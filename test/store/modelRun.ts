/**
 * Runs the lines of a script on a store, and tells what came of each in words that two stores share: a job is named by
 * the line that enqueued it, a lease by the first of its attempts, a time by how far away it is.
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { SqlError } from "effect/sql/SqlError"
import type { Ending } from "../../src/domain/Attempt.ts"
import type { Event, FollowUp } from "../../src/domain/Event.ts"
import { type JobId, makeId, places } from "../../src/domain/Job.ts"
import * as Contents from "../../src/store/memory/Contents.ts"
import { makeMemory } from "../../src/store/memory/index.ts"
import type {
  Claimed,
  JobView,
  LeaseId,
  MoveResult,
  NewJob,
  Resumption,
  Store,
  WorkerId
} from "../../src/store/Store.ts"
import type { Command, ScriptedEnding, ScriptedJob } from "./modelScript.ts"

export interface Subject {
  readonly store: Store["Service"]
  readonly elapse: (time: Duration.Duration) => Effect.Effect<unknown, SqlError>
  readonly now: () => number
  /** Gives an effect the clock the store goes by. */
  readonly during: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>
}

/** What a caller knows by now: its own, and what it was told before. */
export interface Knowledge {
  readonly jobs: ReadonlyArray<JobId>
  readonly attempts: ReadonlyArray<Claimed & { readonly worker: WorkerId }>
  /** Those it has said no outcome of. */
  readonly open: ReadonlyArray<Knowledge["attempts"][number]>
  readonly workers: ReadonlyArray<WorkerId>
  readonly beats: ReadonlyMap<WorkerId, number>
}

export const ignorance: Knowledge = { jobs: [], attempts: [], open: [], workers: [], beats: new Map() }

/** Names are looked up when all is done: a caller can meet a job before it hears from the one that enqueued it. */
export type Names = Map<string, string>

export interface Outcome {
  readonly learned: Knowledge
  readonly introduce: (names: Names) => void
  readonly tell: (names: Names) => unknown
}

const hour = 3_600_000

/** The memory store on a clock that moves only when told, and a little with every line as time does. */
export const makeModel = (
  contents = Contents.make(),
  start = 0
): Subject & { readonly contents: Contents.Contents } => {
  let millis = start
  const clock: Clock.Clock = {
    currentTimeMillisUnsafe: () => millis,
    currentTimeMillis: Effect.sync(() => ++millis),
    currentTimeNanosUnsafe: () => BigInt(millis) * 1_000_000n,
    currentTimeNanos: Effect.sync(() => BigInt(millis) * 1_000_000n),
    monotonicTimeNanosUnsafe: () => BigInt(millis) * 1_000_000n,
    monotonicTimeNanos: Effect.sync(() => BigInt(millis) * 1_000_000n),
    sleep: () => Effect.void
  }
  return {
    contents,
    store: makeMemory(contents),
    now: () => millis,
    elapse: (time) => Effect.sync(() => (millis += Duration.toMillis(time))),
    during: Effect.provideService(Clock.Clock, clock)
  }
}

const latest = <A>(list: ReadonlyArray<A>, ago: number): A | undefined =>
  list.length === 0 ? undefined : list[list.length - 1 - (ago % list.length)]

/** Leases of these attempts, and the worker of the first. */
const leasesOf = (known: Knowledge, ago: ReadonlyArray<number>) => {
  const attempts = ago.flatMap((one) => latest(known.attempts, one) ?? [])
  return { worker: attempts[0]?.worker ?? nobody, leases: [...new Set(attempts.map(({ lease }) => lease))] }
}

const ran = Duration.millis(5)
const nobody = 987_654n as WorkerId
const noJob = makeId(1, 987_654n)

/** Runs one line. The label says where in the script it stands. */
export const perform = (subject: Subject, known: Knowledge, label: string, command: Command) =>
  subject.during(performOn(subject, known, label, command))

const performOn = Effect.fnUntraced(function* (
  subject: Subject,
  known: Knowledge,
  label: string,
  command: Command
): Effect.fn.Return<Outcome, SqlError> {
  const { store } = subject
  const told = (tell: (names: Names) => unknown, learned: Partial<Knowledge> = {}): Outcome => ({
    tell,
    learned: { ...known, ...learned },
    introduce: () => undefined
  })
  const plain = <A>(move: Effect.Effect<A, SqlError>) => Effect.map(move, (result) => told(() => result))
  const one = (move: Effect.Effect<MoveResult, SqlError>) =>
    Effect.map(move, ({ heldBy, moved, place }) =>
      told((names) => ({
        moved,
        place: Option.getOrNull(place),
        heldBy: heldBy === undefined ? null : names.get(`job ${heldBy}`)
      }))
    )
  const jobAt = (ago: number) => latest(known.jobs, ago) ?? noJob
  const workerAt = (ago: number) => latest(known.workers, ago) ?? nobody

  switch (command.move) {
    case "enqueue": {
      const newJobs = command.jobs.map((job, index) => newJob(job, `${label}.${index}`, subject.now()))
      const ids = yield* store.enqueue(newJobs)
      return {
        tell: () => ids.length,
        introduce: (names) => ids.forEach((id, index) => names.set(`job ${id}`, `job ${label}.${index}`)),
        learned: { ...known, jobs: [...known.jobs, ...ids] }
      }
    }
    case "enqueueUnique": {
      const { job, key, onConflict } = command
      const unique = { by: { key }, places: ["scheduled", "ready", "running", "waiting"], onConflict } as const
      const name = `${label}.0`
      const [enqueued] = yield* store.enqueueUnique([{ ...newJob(job, name, subject.now()), unique }])
      const { former, id, outcome } = enqueued!
      const isNew = outcome !== "kept"
      return {
        tell: (names) => ({ outcome, jobs: jobNames(names, [id, ...Option.toArray(former)]) }),
        introduce: (names) => (isNew ? names.set(`job ${id}`, `job ${name}`) : undefined),
        learned: isNew ? { ...known, jobs: [...known.jobs, id] } : known
      }
    }
    case "claim": {
      const worker = workerAt(command.worker)
      const queues = command.queues.map(([queue, limit, ahead]) => ({ queue, limit, ahead }))
      const { brink, kinds } = command
      const { found, jobs } = yield* store.claim({ worker, kinds, queues, brink })
      const now = subject.now()
      const mine = jobs.map((claimed) => ({ ...claimed, worker }))
      return {
        tell: (names) => ({ found, jobs: jobs.map((claimed) => tellClaimed(names, claimed, now)) }),
        introduce: (names) => {
          for (const { attempt, id, lease } of jobs) {
            const name = `lease of ${names.get(`job ${id}`)}#${attempt}`
            const named = names.get(`lease ${lease}`)
            if (named === undefined || name < named) names.set(`lease ${lease}`, name)
          }
        },
        learned: { ...known, attempts: [...known.attempts, ...mine], open: [...known.open, ...mine] }
      }
    }
    case "begin": {
      const { leases, worker } = leasesOf(known, command.attempts)
      const begun = yield* store.begin(worker, leases)
      return told((names) => begun.map(leaseName(names)))
    }
    case "unhandled": {
      const { kinds } = command
      return yield* plain(store.unhandled({ kinds, queues: ["post", "bulk"] }))
    }
    case "finish": {
      const ends = command.ends.flatMap(({ attempt, ending, late }) => {
        const claimed = latest(late === true ? known.attempts : known.open, attempt)
        return claimed === undefined ? [] : [{ claimed, ending: toEnding(ending) }]
      })
      if (ends.length === 0) return told(() => [])
      const worker = command.by === undefined ? ends[0]!.claimed.worker : workerAt(command.by)
      const answers = yield* store.finish(
        worker,
        ends.map(({ claimed: { attempt, id, lease }, ending }) => ({ id, lease, attempt, ran, ending }))
      )
      const said = ends.map(({ claimed }) => claimed)
      return told(() => answers, { open: known.open.filter((attempt) => !said.includes(attempt)) })
    }
    case "promote":
      return yield* plain(store.promote(command))
    case "expireWaits":
      return yield* plain(store.expireWaits(command))
    case "rescueOverdue":
      return yield* plain(store.rescueOverdue(command))
    case "rescueWorker":
      return yield* plain(store.rescueWorker(workerAt(command.worker), command))
    case "release": {
      const { leases, worker } = leasesOf(known, command.attempts)
      return yield* plain(store.release(worker, leases))
    }
    case "resume":
      return yield* one(store.resume(command.token, toResumption(command, label)))
    case "cancel":
      return yield* one(store.cancel(jobAt(command.job), `cancelled by ${label}`))
    case "setAside":
      return yield* one(store.setAside(jobAt(command.job), `set aside by ${label}`))
    case "runNow":
      return yield* one(store.runNow(jobAt(command.job)))
    case "postpone":
      return yield* one(store.postpone(jobAt(command.job), Duration.hours(command.hours)))
    case "reassign":
      return yield* one(store.reassign(jobAt(command.job), command))
    case "redrive":
      return yield* one(store.redrive(jobAt(command.job)))
    case "purge":
      return yield* plain(store.purge(jobAt(command.job)))
    case "show": {
      const view = yield* store.show(jobAt(command.job))
      const place = yield* store.place(jobAt(command.job))
      const now = subject.now()
      return told((names) => [Option.getOrNull(place), Option.getOrNull(Option.map(view, tellView(names, now)))])
    }
    case "page": {
      const after = latest(known.jobs, command.after ?? 0)
      const options = { queue: command.queue, limit: command.limit, ...(command.after === undefined ? {} : { after }) }
      const pages = yield* Effect.forEach(places, (place) => store.page({ place, ...options }))
      return told((names) => pages.map((views) => views.map(({ id }) => names.get(`job ${id}`))))
    }
    case "pause":
      return yield* plain(store.pause(command.queue))
    case "unpause":
      return yield* plain(store.unpause(command.queue))
    case "register": {
      const worker = yield* store.register(`worker ${label}`)
      return {
        tell: () => null,
        introduce: (names) => names.set(`worker ${worker}`, `worker ${label}`),
        learned: { ...known, workers: [...known.workers, worker] }
      }
    }
    case "beat": {
      const worker = workerAt(command.worker)
      const { alive, cancelling, leases } = yield* store.beat(worker)
      const beats = new Map(known.beats).set(worker, (known.beats.get(worker) ?? 0) + 1)
      return told(
        (names) => ({ alive, cancelling: jobNames(names, cancelling), leases: leases.map(leaseName(names)) }),
        alive ? { beats } : {}
      )
    }
    case "declareDead": {
      const worker = workerAt(command.worker)
      const beats = (known.beats.get(worker) ?? 0) - (command.late === true ? 1 : 0)
      return yield* plain(store.declareDead(worker, beats))
    }
    case "forget":
      return yield* plain(store.forget(workerAt(command.worker)))
    case "elapse":
      yield* subject.elapse(Duration.hours(command.hours))
      return told(() => null)
  }
})

/** Everything the store can be asked about: the jobs of each place, the workers, what is paused. */
export const survey = (subject: Subject) => subject.during(surveyOf(subject))

const surveyOf = Effect.fnUntraced(function* ({ now, store }: Subject) {
  const pages = yield* Effect.forEach(places, (place) => store.page({ place, limit: 1_000 }), { concurrency: 4 })
  const [paused, workers] = yield* Effect.all([store.pausedQueues, store.workers], { concurrency: 2 })
  yield* store.tendEvents({ limit: 1_000, keep: Duration.days(30), sink: true })
  const events = yield* store.events({ after: 0n, limit: 1_000 })
  const time = now()
  const views = pages.flat()
  const scripted = ({ kind }: JobView) => kind !== aside.kind
  return {
    views,
    workers,
    tell: (names: Names) => ({
      places: Object.fromEntries(
        places.map((place, index) => [place, pages[index]!.filter(scripted).map(tellView(names, time))])
      ),
      paused,
      // Those of one move have no order among themselves.
      events: events.map((event) => tellEvent(names, event)).toSorted(),
      followUps: views
        .filter((view) => !scripted(view))
        .map((view) => tellFollowUp(names, view))
        .toSorted(),
      workers: workers.map(({ beats, id, name }) => ({ worker: names.get(`worker ${id}`), name, beats }))
    })
  }
})

/** What holds in every store at every moment. Answers what does not. */
export const broken = (views: ReadonlyArray<JobView>): ReadonlyArray<string> => {
  const ids = views.map(({ id }) => id)
  const faults = ids.filter((id, index) => ids.indexOf(id) !== index).map((id) => `${id} stands in two places`)
  for (const { attempt, crashes, failures, history, id, place } of views) {
    const numbers = history.map((line) => line.attempt)
    if (numbers.some((number, index) => index > 0 && number <= numbers[index - 1]!)) {
      faults.push(`${id} ends an attempt twice, or out of order: ${numbers.join(" ")}`)
    }
    const open = place === "running" ? 1 : 0
    if (history.length + open !== attempt) faults.push(`${id} used ${attempt} numbers for ${history.length} lines`)
    if ((numbers.at(-1) ?? 0) + open !== attempt) faults.push(`${id} has a line beyond its attempt`)
    if (failures + crashes > attempt) faults.push(`${id} counts more failures and crashes than attempts`)
  }
  return faults
}

/** Where two tellings first differ. */
export const difference = (one: unknown, other: unknown, path = ""): string | undefined => {
  if (JSON.stringify(one) === JSON.stringify(other)) return undefined
  if (isRecord(one) && isRecord(other)) {
    for (const key of new Set([...Object.keys(one), ...Object.keys(other)])) {
      const found = difference(one[key], other[key], `${path}/${key}`)
      if (found !== undefined) return found
    }
    return undefined
  }
  return `${path}: ${JSON.stringify(one)} ≠ ${JSON.stringify(other)}`
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null

const aside: FollowUp = { kind: "follow-up", queue: "aside", priority: 5 }
const followUps = { rescued: aside, died: aside }

const newJob = ({ at, deadline, followed, in: delay, ...job }: ScriptedJob, name: string, now: number): NewJob => ({
  ...job,
  payload: { name },
  details: { of: name, ...(followed === true ? { followUps } : {}) },
  runIn: delay === undefined ? undefined : Duration.hours(delay),
  runAt: at === undefined ? undefined : DateTime.makeUnsafe(Math.floor(now) + at * hour),
  deadline: deadline === undefined ? undefined : Duration.hours(deadline)
})

const toEnding = (ending: ScriptedEnding): Ending => {
  switch (ending.as) {
    case "Completed":
      return { _tag: "Completed", output: { done: true } }
    case "Released":
      return { _tag: "Released" }
    case "Died":
      return { _tag: "Died", reason: "gave up", error: { code: 1 } }
    case "Cancelled":
      return { _tag: "Cancelled", reason: "from inside" }
    case "Failed":
      return { _tag: "Failed", error: "failed", retryIn: Duration.hours(ending.hours) }
    case "Snoozed":
      return { _tag: "Snoozed", for: Duration.hours(ending.hours) }
    case "Parked": {
      const { hours, onExpiry, token } = ending
      return { _tag: "Parked", token, expiresIn: Duration.hours(hours), onExpiry }
    }
  }
}

const toResumption = (command: Extract<Command, { readonly move: "resume" }>, label: string): Resumption => {
  switch (command.as) {
    case "Resumed": {
      const { in: delay } = command
      return { _tag: "Resumed", value: { by: label }, in: delay === undefined ? undefined : Duration.hours(delay) }
    }
    case "Completed":
      return { _tag: "Completed", output: { by: label } }
    case "Died":
      return { _tag: "Died", reason: `died by ${label}` }
    case "Cancelled":
      return { _tag: "Cancelled", reason: `cancelled by ${label}` }
  }
}

const leaseName = (names: Names) => (lease: LeaseId) => names.get(`lease ${lease}`)

const jobNames = (names: Names, ids: ReadonlyArray<JobId>) => ids.map((id) => names.get(`job ${id}`))

/** In half hours from now, rounded: the clocks of two stores are milliseconds apart. */
const away = (time: Option.Option<DateTime.Utc>, now: number) =>
  Option.getOrNull(Option.map(time, (time) => Math.round((2 * (DateTime.toEpochMillis(time) - now)) / hour) / 2))

const tellClaimed = (names: Names, claimed: Claimed, now: number) => ({
  job: names.get(`job ${claimed.id}`),
  lease: names.get(`lease ${claimed.lease}`),
  kind: claimed.kind,
  queue: claimed.queue,
  priority: claimed.priority,
  attempt: claimed.attempt,
  failures: claimed.failures,
  crashes: claimed.crashes,
  payload: claimed.payload,
  details: claimed.details,
  claimed: away(Option.some(claimed.claimedAt), now),
  deadline: Option.getOrNull(Option.map(claimed.deadline, Duration.toHours)),
  begun: claimed.begun
})

const tellEvent = (names: Names, { attempt, details, job, type }: Event): string => {
  const { name: _, silentMs: __, worker, ...rest } = details
  const from = worker === undefined ? null : (names.get(`worker ${String(worker)}`) ?? "nobody")
  return JSON.stringify([names.get(`job ${job}`), attempt, type, from, Object.entries(rest).toSorted()])
}

const tellFollowUp = (names: Names, { payload, place, queue }: JobView): string => {
  const { job, ...rest } = payload as { readonly job: JobId }
  return JSON.stringify([names.get(`job ${job}`), place, queue, Object.entries(rest).toSorted()])
}

const tellView =
  (names: Names, now: number) =>
  (view: JobView): unknown => ({
    job: names.get(`job ${view.id}`),
    kind: view.kind,
    queue: view.queue,
    priority: view.priority,
    place: view.place,
    attempt: view.attempt,
    failures: view.failures,
    crashes: view.crashes,
    payload: view.payload,
    details: view.details,
    due: away(view.due, now),
    history: view.history.map(({ attempt, error, output, reason, state, worker }) => ({
      attempt,
      state,
      worker: Option.getOrNull(Option.map(worker, (id) => names.get(`worker ${id}`))),
      error,
      output,
      reason
    }))
  })
