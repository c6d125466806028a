import { assert, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { Attempt, Job } from "lanekeeper"
import { JobsTest } from "lanekeeper/testing"

const Remind = Job.make("remind", { payload: { user: Schema.String } })
const Reminding = Remind.handle(({ user }, { attempt }) =>
  user === "asleep" && attempt === 1 ? Attempt.snooze("8 hours") : Effect.log(`Hello, ${user}`)
)

const signUp = (user: string) => Remind.enqueue({ user }, { delay: "1 day" })

it.effect("reminds a new user after a day, and lets the sleeping sleep", () =>
  Effect.gen(function* () {
    const { id } = yield* signUp("asleep")
    yield* JobsTest.assertEnqueued(Remind, { user: "asleep" })
    assert.deepStrictEqual(yield* JobsTest.drain, []) // nothing is due

    yield* JobsTest.advance("1 day")
    yield* JobsTest.drain
    yield* JobsTest.expectOutcome(id, "scheduled") // snoozed

    yield* JobsTest.advance("8 hours")
    yield* JobsTest.drain
    yield* JobsTest.expectOutcome(id, "completed")
  }).pipe(Effect.provide(Reminding.pipe(Layer.provideMerge(JobsTest.layer))))
)
