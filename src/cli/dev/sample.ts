/** The application that `dev` runs when it is given none: one kind for each thing that can happen to a job. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Attempt from "../../Attempt.ts"
import * as Job from "../../Job.ts"

const queue = "demo"

class Unlucky extends Schema.TaggedError<Unlucky>()("Unlucky", { attempt: Schema.Int }) {
  override get message() {
    return `no luck at attempt ${this.attempt}`
  }
}

class NoUse extends Schema.TaggedError<NoUse>()("NoUse", {}) {
  override get message() {
    return "it is of no use to try again"
  }
}

export const Greet = Job.make("demo-greet", { payload: { name: Schema.String }, output: Schema.String, queue })

/** Fails so many times, and succeeds then. */
export const Flaky = Job.make("demo-flaky", {
  payload: { failures: Schema.Int },
  failure: Unlucky,
  backoff: Schedule.spaced("700 millis"),
  queue
})

/** Dies of its first failure. */
export const Hopeless = Job.make("demo-hopeless", {
  payload: {},
  failure: NoUse,
  onFailure: { NoUse: "dead" },
  queue
})

/** Asks to be run again a moment later, once. */
export const Patient = Job.make("demo-patient", { payload: {}, queue })

export const Slow = Job.make("demo-slow", { payload: { seconds: Schema.Finite }, queue })

export const queues = { [queue]: { concurrency: 10 } }

export const handlers = Layer.mergeAll(
  Greet.handle(({ name }) => Effect.succeed(`Hello ${name}`)),
  Flaky.handle(({ failures }, { attempt }) =>
    attempt <= failures ? Effect.fail(new Unlucky({ attempt })) : Effect.void
  ),
  Hopeless.handle(() => Effect.fail(new NoUse())),
  Patient.handle((_, { attempt }) => (attempt === 1 ? Attempt.snooze("1 second") : Effect.void)),
  Slow.handle(({ seconds }) => Effect.sleep(`${seconds} seconds`))
)
