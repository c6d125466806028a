/** What the suite's sentences are made of. */
import { assert } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { SqlError } from "effect/sql/SqlError"
import type { Ending, Expiry } from "../../src/domain/Attempt.ts"
import type { JobId, Place } from "../../src/domain/Job.ts"
import type { Claimed, JobView, NewJob, Store, WorkerId } from "../../src/store/Store.ts"

export const hours = Duration.hours

export const job = (differs: Partial<NewJob> = {}): NewJob => ({
  kind: "mail",
  queue: "post",
  priority: 5,
  payload: null,
  ...differs
})

export const completed: Ending = { _tag: "Completed" }
export const released: Ending = { _tag: "Released" }
export const retried = (retryIn: Duration.Duration): Ending => ({ _tag: "Failed", error: "no route", retryIn })
export const parked = (token: string, onExpiry: Expiry = "die"): Ending => ({
  _tag: "Parked",
  token,
  expiresIn: hours(2),
  onExpiry
})
export const died: Ending = { _tag: "Died", reason: "no such address" }

export const endOf = ({ attempt, id, lease }: Claimed, ending: Ending) => ({
  id,
  lease,
  attempt,
  ran: Duration.millis(1),
  ending
})

export const makeWorld = (
  store: Store["Service"],
  elapse: (time: Duration.Input) => Effect.Effect<unknown, SqlError>
) => {
  const enqueue = (...jobs: ReadonlyArray<Partial<NewJob>>) => store.enqueue(jobs.map(job))
  const claim = (worker: WorkerId, limit = 100, queue = "post") =>
    store.claim({ worker, kinds: ["mail"], queues: [{ queue, limit }] })
  const finish = (worker: WorkerId, claimed: Claimed, ending: Ending) =>
    Effect.map(store.finish(worker, [endOf(claimed, ending)]), ([acceptance]) => acceptance!)
  const show = (id: JobId) => Effect.map(store.show(id), Option.getOrThrow)
  /** One job that a worker of its own is running. */
  const running = Effect.fnUntraced(function* (differs: Partial<NewJob> = {}) {
    const [id] = yield* enqueue(differs)
    const worker = yield* store.register("runner")
    const queues = [{ queue: differs.queue ?? "post", limit: 1 }]
    const [claimed] = (yield* store.claim({ worker, kinds: ["mail"], queues })).jobs
    if (claimed === undefined || claimed.id !== id) return assert.fail("another job was claimed")
    return { id, worker, claimed, end: (ending: Ending) => finish(worker, claimed, ending) }
  })
  return {
    store,
    elapse,
    enqueue,
    claim,
    finish,
    show,
    running,
    register: store.register("worker"),
    claimedIds: (worker: WorkerId, limit?: number, queue?: string) =>
      Effect.map(claim(worker, limit, queue), ({ jobs }) => jobs.map(({ id }) => id)),
    /** One job that waits for the token. */
    waiting: Effect.fnUntraced(function* (token: string, onExpiry?: Expiry) {
      const { end, id } = yield* running()
      assert.strictEqual(yield* end(parked(token, onExpiry)), "accepted")
      return id
    }),
    dead: Effect.fnUntraced(function* (differs: Partial<NewJob> = {}) {
      const { end, id } = yield* running(differs)
      yield* end(died)
      return id
    }),
    declareDead: Effect.fnUntraced(function* (worker: WorkerId) {
      const row = (yield* store.workers).find(({ id }) => id === worker)!
      assert.isTrue(yield* store.declareDead(worker, row.beats))
    }),
    isAt: Effect.fnUntraced(function* (place: Place, ...ids: ReadonlyArray<JobId>) {
      for (const id of ids) assert.deepStrictEqual(yield* store.place(id), Option.some(place))
    }),
    /** The history as short sentences. */
    told: (id: JobId) => Effect.map(show(id), ({ history }) => history.map(sentence))
  }
}

export type World = ReturnType<typeof makeWorld>

const sentence = ({ attempt, reason, state }: JobView["history"][number]) =>
  `${attempt} ${state}${reason === null ? "" : `: ${reason}`}`

export const nothingMoved = { ready: 0, scheduled: 0, dead: 0, cancelled: 0, queues: [] }

export const stays = (place: Place) => ({ moved: false, place: Option.some(place) })
export const movedTo = (place: Place) => ({ moved: true, place: Option.some(place) })
export const noSuchJob = { moved: false, place: Option.none() }
