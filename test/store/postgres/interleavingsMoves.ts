/** What callers do when they meet, each telling what it was answered. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Ending } from "../../../src/domain/Attempt.ts"
import type { JobId } from "../../../src/domain/Job.ts"
import type {
  Claimed,
  LeaseId,
  Moved,
  MoveResult,
  NewJob,
  Resumption,
  Uniqueness,
  WorkerId
} from "../../../src/store/Store.ts"
import { endOf, hours, job } from "../suiteWorld.ts"
import type { Caller, Move } from "./interleavingsSide.ts"

const tell =
  <A>(what: (caller: Caller) => Effect.Effect<A, SqlError>, answer: (value: A) => string): Move =>
  (caller) =>
    Effect.map(what(caller), answer)

const one = ({ moved, place }: MoveResult) =>
  moved ? "moves it" : place._tag === "None" ? "finds no job" : `finds it ${place.value}`

const many = (moved: Moved) => {
  const parts = (["ready", "scheduled", "dead", "cancelled"] as const).filter((place) => moved[place] > 0)
  return parts.length === 0 ? "moves none" : `moves ${parts.map((place) => `${moved[place]} ${place}`).join(", ")}`
}

export const claims = (worker: WorkerId, limit: number): Move =>
  tell(
    ({ claim }) => claim(worker, limit),
    ({ found, jobs }) => `claims ${jobs.length}, ${found}`
  )

export const claimsAhead = (worker: WorkerId, limit: number, ahead: number): Move =>
  tell(
    ({ store }) => store.claim({ worker, kinds: ["mail"], queues: [{ queue: "post", limit, ahead }] }),
    ({ found, jobs }) => `claims ${jobs.length}, ${jobs.filter(({ begun }) => !begun).length} ahead, ${found}`
  )

export const begins = (worker: WorkerId, ...leases: ReadonlyArray<LeaseId>): Move =>
  tell(
    ({ store }) => store.begin(worker, leases),
    ({ length }) => `begins ${length}`
  )

export const enqueues = (...jobs: ReadonlyArray<Partial<NewJob>>): Move =>
  tell(
    ({ enqueue }) => enqueue(...jobs),
    ({ length }) => `enqueues ${length}`
  )

/** Under one key, which a job keeps as long as it is not over. */
export const enqueuesUnique = (onConflict: Uniqueness["onConflict"], differs: Partial<NewJob> = {}): Move =>
  tell(
    ({ store }) =>
      store.enqueueUnique([
        {
          ...job(differs),
          unique: { by: { key: "key" }, places: ["scheduled", "ready", "waiting"], onConflict }
        }
      ]),
    ([enqueued]) => `is ${enqueued!.outcome}`
  )

/** All of it in one transaction of the caller's. */
export const together =
  (...moves: ReadonlyArray<Move>): Move =>
  (caller) =>
    caller.sql.withTransaction(after(...moves)(caller))

/** One after the other. */
export const after =
  (...moves: ReadonlyArray<Move>): Move =>
  (caller) =>
    Effect.map(
      Effect.forEach(moves, (move) => move(caller)),
      (answers) => answers.join(" and ")
    )

export const finishes = (worker: WorkerId, claimed: ReadonlyArray<Claimed>, ending: Ending): Move =>
  tell(
    ({ store }) =>
      store.finish(
        worker,
        claimed.map((each) => endOf(each, ending))
      ),
    (answers) => `is ${answers.join(" and ")}`
  )

const few = { limit: 10, crashBudget: 10 }

export const rescues = (worker: WorkerId): Move => tell(({ store }) => store.rescueWorker(worker, few), many)
export const rescuesOverdue: Move = tell(({ store }) => store.rescueOverdue(few), many)
export const releases = (worker: WorkerId, ...leases: ReadonlyArray<LeaseId>): Move =>
  tell(({ store }) => store.release(worker, leases), many)
export const promotes: Move = tell(({ store }) => store.promote({ limit: 10 }), many)
export const expires: Move = tell(({ store }) => store.expireWaits({ limit: 10 }), many)

export const cancels = (id: JobId): Move => tell(({ store }) => store.cancel(id, "enough"), one)
export const setsAside = (id: JobId): Move => tell(({ store }) => store.setAside(id, "odd"), one)
export const runsNow = (id: JobId): Move => tell(({ store }) => store.runNow(id), one)
export const postpones = (id: JobId): Move => tell(({ store }) => store.postpone(id, hours(1)), one)
export const reassigns = (id: JobId, priority: number): Move =>
  tell(({ store }) => store.reassign(id, { priority }), one)
export const redrives = (id: JobId): Move => tell(({ store }) => store.redrive(id), one)
export const purges = (id: JobId): Move =>
  tell(
    ({ store }) => store.purge(id),
    (gone) => (gone ? "purges it" : "finds none to purge")
  )
export const resumes = (token: string, how: Resumption = { _tag: "Resumed" }): Move =>
  tell(({ store }) => store.resume(token, how), one)

export const pauses: Move = tell(
  ({ store }) => store.pause("post"),
  () => "pauses"
)
export const beats = (worker: WorkerId): Move =>
  tell(
    ({ store }) => store.beat(worker),
    ({ alive, leases }) => (alive ? `beats with ${leases.length}` : "is refused")
  )
export const declaresDead = (worker: WorkerId): Move =>
  tell(
    ({ store }) => store.declareDead(worker, 0),
    (dead) => (dead ? "declares it dead" : "lets it live")
  )
export const forgets = (worker: WorkerId): Move =>
  tell(
    ({ store }) => store.forget(worker),
    (gone) => (gone ? "forgets it" : "keeps it")
  )

export const evacuates = (slot: number): Move =>
  tell(
    ({ slots }) => slots.evacuate(slot, { limit: 10 }),
    (count) => `copies ${count}`
  )
export const emptiesSlot = (slot: number): Move =>
  tell(
    ({ slots }) => slots.emptySlot(slot),
    (answer) => `finds the slot ${answer}`
  )
export const emptiesShelf = (shelf: number): Move =>
  tell(
    ({ slots }) => slots.emptyShelf(shelf),
    (answer) => `finds the shelf ${answer}`
  )
/** Whatever its size. */
export const rewrites = (table: string): Move =>
  tell(
    ({ slots }) => slots.rewrite(table, 0),
    (answer) => `finds ${table} ${answer}`
  )
export const clearsAttic: Move = tell(
  ({ slots }) => slots.clearAttic({ limit: 10 }),
  (count) => `clears ${count}`
)

/** One level for each minute that was waited. */
export const lifts: Move = tell(
  ({ store }) => store.lift({ step: Duration.minutes(1), limit: 10 }),
  (lifted) => `lifts ${lifted}`
)

/** A whole walk for damage. */
export const reconciles: Move = (caller) =>
  Effect.gen(function* () {
    let repaired = 0
    let full = true
    while (full) {
      const page = yield* caller.store.reconcile({ limit: 10, crashBudget: 3 })
      repaired += Object.values(page.repaired).reduce((sum, count) => sum + count, 0)
      ;({ full } = page)
    }
    return `repairs ${repaired}`
  })
