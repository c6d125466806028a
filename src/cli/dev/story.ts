/** What happens in `dev`: jobs that succeed, fail, wait and die, and a worker that is killed at work. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { Client } from "../../Client.ts"
import { Store } from "../../store/Store.ts"
import { counted } from "../../texts.ts"
import type { Member } from "./Company.ts"
import { Flaky, Greet, Hopeless, Patient, Slow } from "./sample.ts"

const often = Duration.millis(400)
const killAfter = Duration.seconds(4) // by then both workers are at work

/** Enqueues a few of each kind again and again, for so long. */
export const produce = Effect.fnUntraced(function* (length: Duration.Duration) {
  const client = yield* Client
  let round = 0
  const enqueue = Effect.gen(function* () {
    const now = round++
    yield* client.enqueueMany(Greet, [{ name: "Ada" }, { name: "Grace" }])
    yield* client.enqueue(Slow, { seconds: 2 })
    if (now % 3 === 0) yield* client.enqueue(Greet, { name: "later" }, { delay: "2 seconds" })
    if (now % 4 === 0) yield* client.enqueue(Flaky, { failures: 2 })
    if (now % 5 === 0) yield* client.enqueue(Patient, {})
    if (now % 8 === 0) yield* client.enqueue(Hopeless, {})
  })
  yield* enqueue.pipe(Effect.repeat(Schedule.spaced(often)), Effect.timeoutOption(length))
})

export interface StoryOptions {
  readonly victim: Member
  readonly replace: Effect.Effect<Member, never, Scope.Scope>
  readonly staleAfter: Duration.Duration
  readonly say: (line: string) => Effect.Effect<void>
}

/** Kills a worker while it runs jobs, and waits until others have them. */
export const kill = Effect.fnUntraced(function* ({ replace, say, staleAfter, victim }: StoryOptions) {
  const store = yield* Store
  yield* Effect.sleep(killAfter)
  const held = yield* Effect.gen(function* () {
    const own = (yield* store.workers).find(({ name }) => name.endsWith(`:${victim.pid}`))
    const running = yield* store.page({ place: "running", limit: 100 })
    return { id: own?.id, jobs: running.filter(({ worker }) => worker._tag === "Some" && worker.value === own?.id) }
  }).pipe(Effect.repeat({ until: ({ jobs }) => jobs.length > 0, schedule: Schedule.spaced("100 millis") }))
  yield* victim.kill
  yield* say(
    `Killed ${victim.name} (process ${victim.pid}) while it ran ${counted(held.jobs.length, "job")}: others rescue them when it has been silent for ${Duration.format(staleAfter)}`
  )
  const crashed = Effect.map(
    Effect.forEach(held.jobs, ({ id }) => store.show(id)),
    (views) => views.filter((view) => view._tag === "Some" && view.value.crashes > 0).length
  )
  const rescued = yield* crashed.pipe(
    Effect.repeat({ until: (rescued) => rescued > 0, schedule: Schedule.spaced("100 millis") })
  )
  yield* say(
    `${counted(rescued, "job")} of ${victim.name} ${rescued === 1 ? "was" : "were"} rescued: the next attempt is another worker's`
  )
  const next = yield* replace
  yield* say(`Started ${next.name} (process ${next.pid}) in its place`)
})
