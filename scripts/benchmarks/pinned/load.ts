/** Enqueues at a steady rate what a queue meets: most jobs run at once, some later, some twice, some under a key. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Job from "../../../src/Job.ts"
import { Client } from "../../../src/Client.ts"
import { Payload, payload, queue } from "../work/Contender.ts"

const Note = Job.make("note", { payload: Payload, failure: Schema.String, queue })

const isDelayed = (n: number) => n % 10 === 3
const isUnique = (n: number) => n % 10 === 6
const failsOnce = (n: number) => n % 10 === 9

const options = (_: typeof Payload.Type, n: number) =>
  isDelayed(n)
    ? { delay: n % 20 < 10 ? ("1 second" as const) : ("2 seconds" as const) }
    : isUnique(n)
      ? { unique: `${n}` }
      : {}

/** Every few milliseconds what is due by then, in one call. */
const breath = "5 millis"

export class Load {
  readonly kind = Note
  enqueued = 0
  completed = 0
  /** Milliseconds from the call that enqueued a job to its handler, of those that may run at once. */
  waits: Array<number> = []
  private readonly at: Float64Array
  private readonly rate: number
  private readonly jobs: number

  constructor(rate: number, seconds: number) {
    this.rate = rate
    this.jobs = rate * seconds
    this.at = new Float64Array(this.jobs)
  }

  readonly handlers = Note.handle(({ n }, { attempt }) =>
    Effect.suspend(() => {
      if (attempt === 1 && !isDelayed(n)) this.waits.push(performance.now() - this.at[n]!)
      if (attempt === 1 && failsOnce(n)) return Effect.fail("once")
      this.completed++
      return Effect.void
    })
  )

  /** Ends when all were enqueued. A producer that is late catches up. */
  readonly produce = (client: Context.Context<Client>) => {
    const begin = performance.now()
    const call = Effect.suspend(() => {
      const now = performance.now()
      const first = this.enqueued
      const due = Math.min(this.jobs, Math.floor(((now - begin) * this.rate) / 1_000))
      if (due === first) return Effect.void
      this.at.fill(now, first, due)
      const payloads = Array.from({ length: due - first }, (_, index) => payload(first + index))
      const numbered = (one: typeof Payload.Type) => options(one, one.n)
      return Effect.map(Effect.provideContext(Note.enqueueMany(payloads, numbered), client), () => {
        this.enqueued = due
      })
    })
    return Effect.repeat(Effect.delay(call, breath), { until: () => this.enqueued >= this.jobs })
  }
}
