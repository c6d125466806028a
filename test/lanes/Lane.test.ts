/** How a lane runs, on a clock that is moved by hand: read it as the documentation of `src/lanes/Lane.ts`. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Ref from "effect/Ref"
import * as TestClock from "effect/testing/TestClock"
import { type Report, runOnce } from "../../src/lanes/Lane.ts"
import { Wakeup } from "../../src/Wakeup.ts"
import { done, ground, instants, laneOf, Lines, looping, moved, steady, wakes } from "./world.ts"

const test = (sentence: string, body: Effect.Effect<void, unknown, never>) => it.effect(sentence, () => body)

/** Everything but the log, which each test reads for itself. */
const lanes = <A, E, R>(body: Effect.Effect<A, E, R>, log = new Lines()) =>
  body.pipe(Effect.scoped, Effect.provide([ground, steady, log.layer])) as Effect.Effect<A, E>

describe("One run of a lane", () => {
  test(
    "takes batches until one is short, and reports what they did [LK-B7, LK-B10]",
    lanes(
      Effect.gen(function* () {
        const left = yield* Ref.make(25)
        const body = Ref.modify(left, (n) => [moved(Math.min(n, 10), n >= 10), Math.max(0, n - 10)])
        const report: Report = yield* runOnce(laneOf(body))
        assert.deepStrictEqual(report, {
          lane: "test lane",
          rows: { ready: 25 },
          batches: 3,
          took: Duration.zero,
          drained: true,
          error: null
        })
      })
    )
  )

  test(
    "begins no batch after its budget is spent [LK-B7]",
    lanes(
      Effect.gen(function* () {
        const fiber = yield* Effect.forkScoped(
          runOnce(laneOf(Effect.delay(Effect.succeed(moved(10, true)), "200 millis")))
        )
        yield* TestClock.adjust("1 second")
        const report = yield* Fiber.join(fiber)
        assert.deepInclude(report, { batches: 3, took: Duration.millis(600), drained: false, error: null })
      })
    )
  )

  test(
    "wakes every queue once, however many batches moved jobs into it [LK-C1]",
    lanes(
      Effect.gen(function* () {
        const { wakeup, woken } = yield* wakes
        const left = yield* Ref.make(2)
        const body = Ref.modify(left, (n) => [moved(10, n > 0, "post", `bulk ${n}`), n - 1])
        yield* Effect.provideService(runOnce(laneOf(body)), Wakeup, wakeup)
        assert.deepStrictEqual([...(yield* woken)].toSorted(), ["bulk 0", "bulk 1", "bulk 2", "post"])
      })
    )
  )

  test(
    "reports a body that fails, dies or hangs, with what its batches moved before [LK-A12, LK-B9]",
    lanes(
      Effect.gen(function* () {
        const { wakeup, woken } = yield* wakes
        const first = yield* Ref.make(true)
        const body = Effect.flatMap(Ref.getAndSet(first, false), (isFirst) =>
          isFirst ? Effect.succeed(moved(10, true, "post")) : Effect.die(new TypeError("no such thing"))
        )
        const died = yield* Effect.provideService(runOnce(laneOf(body)), Wakeup, wakeup)
        assert.deepInclude(died, { rows: { ready: 10 }, batches: 1, error: "TypeError: no such thing" })
        assert.deepStrictEqual(yield* woken, ["post"])

        const thrown = yield* runOnce({
          ...laneOf(Effect.never),
          body: () => {
            throw new RangeError("before it began")
          }
        })
        assert.strictEqual(thrown.error, "RangeError: before it began")

        const hanging = yield* Effect.forkScoped(runOnce(laneOf(Effect.never)))
        yield* TestClock.adjust("30 seconds")
        assert.match((yield* Fiber.join(hanging)).error!, /did not finish a batch in 30s and was interrupted/)
      })
    )
  )
})

describe("The loop of a lane", () => {
  test(
    "runs at once and then on its interval, from start to start [LK-B5]",
    lanes(
      Effect.gen(function* () {
        const { now, seen } = yield* instants
        yield* looping(laneOf(Effect.as(Effect.andThen(now, Effect.sleep("300 millis")), done)))
        yield* TestClock.adjust("3500 millis")
        assert.deepStrictEqual(yield* seen, [0, 1000, 2000, 3000])
      })
    )
  )

  test(
    "never overlaps itself, and makes one run of what it missed [LK-B5]",
    lanes(
      Effect.gen(function* () {
        const { now, seen } = yield* instants
        const slow = yield* Ref.make(true)
        const body = Effect.gen(function* () {
          yield* now
          if (yield* Ref.getAndSet(slow, false)) yield* Effect.sleep("4500 millis")
          return done
        })
        yield* looping(laneOf(body))
        yield* TestClock.adjust("8 seconds")
        assert.deepStrictEqual(yield* seen, [0, 4500, 5500, 6500, 7500])
      })
    )
  )

  test(
    "goes on at once when its budget was spent before the work was [LK-B7]",
    lanes(
      Effect.gen(function* () {
        const { now, seen } = yield* instants
        const left = yield* Ref.make(5)
        const body = Effect.gen(function* () {
          yield* now
          yield* Effect.sleep("300 millis")
          return moved(10, (yield* Ref.updateAndGet(left, (n) => n - 1)) > 0)
        })
        const { ran } = yield* looping(laneOf(body))
        yield* TestClock.adjust("1900 millis")
        assert.deepStrictEqual(yield* seen, [0, 300, 600, 900, 1200])
        assert.deepStrictEqual(
          (yield* ran).map(({ batches, drained }) => [batches, drained]),
          [
            [2, false],
            [2, false],
            [1, true]
          ]
        )
      })
    )
  )

  test(
    "begins a hygiene lane at its first slot, and lets it cool down when it overruns [LK-B7]",
    lanes(
      Effect.gen(function* () {
        const { now, seen } = yield* instants
        const body = Effect.as(Effect.andThen(now, Effect.sleep("1500 millis")), done)
        yield* looping(laneOf(body, { class: "hygiene" }))
        yield* TestClock.adjust("9 seconds")
        assert.deepStrictEqual(yield* seen, [1000, 3500, 6000, 8500])
      })
    )
  )

  test(
    "gives every timer a jitter of a tenth [LK-B5]",
    Effect.gen(function* () {
      const { now, seen } = yield* instants
      yield* looping(laneOf(Effect.as(now, done)))
      yield* TestClock.adjust("100 seconds")
      const times = yield* seen
      const gaps = times.slice(1).map((time, n) => time - times[n]!)
      assert.isTrue(
        gaps.every((gap) => gap >= 899 && gap <= 1101),
        String(gaps)
      )
      assert.isTrue(Math.max(...gaps) - Math.min(...gaps) > 100, String(gaps))
    }).pipe(Effect.scoped, Effect.provide(ground))
  )

  const log = new Lines()
  test(
    "goes on after runs that failed, died or hung, backing off up to 30 seconds, and says so each time [LK-A12, LK-B9]",
    lanes(
      Effect.gen(function* () {
        const { now, seen } = yield* instants
        const runs = yield* Ref.make(0)
        const body = Effect.gen(function* () {
          yield* now
          const run = yield* Ref.updateAndGet(runs, (n) => n + 1)
          return run <= 7 ? yield* Effect.die(new Error(`run ${run}`)) : done
        })
        const { ran } = yield* looping(laneOf(body))
        yield* TestClock.adjust("125 seconds")
        const seconds = (yield* seen).map((time) => time / 1000)
        assert.deepStrictEqual(seconds.slice(0, 10), [0, 2, 6, 14, 30, 60, 90, 120, 121, 122])
        assert.deepStrictEqual(
          (yield* ran).slice(0, 9).map(({ failures }) => failures),
          [1, 2, 3, 4, 5, 6, 7, 0, 0]
        )
        assert.lengthOf(
          log.lines.filter((line) => line === "Warn: A lane failed and will try again"),
          7
        )
      }),
      log
    )
  )

  const delays = new Lines()
  test(
    "warns once when it gets late and says once that it is on time again [LK-B8]",
    lanes(
      Effect.gen(function* () {
        const slow = yield* Ref.make(true)
        const body = Effect.gen(function* () {
          yield* Effect.sleep((yield* Ref.get(slow)) ? "1600 millis" : "10 millis")
          return done
        })
        yield* looping(laneOf(body))
        yield* TestClock.adjust("4500 millis")
        assert.deepStrictEqual(delays.lines, [])
        yield* TestClock.adjust("10 seconds")
        assert.deepStrictEqual(delays.lines, ["Warn: A lane is delayed"])
        yield* Ref.set(slow, false)
        yield* TestClock.adjust("20 seconds")
        assert.deepStrictEqual(delays.lines, ["Warn: A lane is delayed", "Info: A lane is on time again"])
      }),
      delays
    )
  )

  test(
    "finishes the batch it is in when it is told to stop, and begins no other [LK-A10]",
    lanes(
      Effect.gen(function* () {
        const batches = yield* Ref.make(0)
        const body = Effect.delay(
          Effect.map(
            Ref.update(batches, (n) => n + 1),
            () => moved(10, true)
          ),
          "100 millis"
        )
        const { fiber, stop } = yield* looping(laneOf(body, { budget: Duration.hours(1) }))
        yield* TestClock.adjust("250 millis")
        yield* stop
        yield* TestClock.adjust("0 millis")
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("50 millis")
        yield* Fiber.join(fiber)
        assert.strictEqual(yield* Ref.get(batches), 3)
      })
    )
  )

  test(
    "ends at once when it is told to stop between two runs [LK-A10]",
    lanes(
      Effect.gen(function* () {
        const { fiber, stop } = yield* looping(laneOf(Effect.succeed(done), { interval: Duration.hours(1) }))
        yield* TestClock.adjust("1 second")
        yield* stop
        yield* Fiber.join(fiber)
      })
    )
  )

  test(
    "is interrupted with the batch it is in [LK-B3]",
    lanes(
      Effect.gen(function* () {
        const interrupted = yield* Ref.make(false)
        const body = Effect.onInterrupt(Effect.never, () => Ref.set(interrupted, true))
        const { fiber } = yield* looping(laneOf(body))
        yield* TestClock.adjust("1 second")
        yield* Fiber.interrupt(fiber)
        assert.isTrue(yield* Ref.get(interrupted))
      })
    )
  )

  test(
    "counts runs by result, rows by outcome and overruns, and measures duration and lateness [LK-B8, LK-L1]",
    lanes(
      Effect.gen(function* () {
        const runs = yield* Ref.make(0)
        const body = Effect.gen(function* () {
          const run = yield* Ref.updateAndGet(runs, (n) => n + 1)
          if (run === 2) return yield* Effect.die("no")
          yield* Effect.sleep(run === 1 ? "1500 millis" : "0 millis")
          return { rows: { ready: 2, dead: 1 }, full: false }
        })
        yield* looping(laneOf(body))
        yield* TestClock.adjust("4 seconds")
        const seen = yield* Metric.snapshot
        const of = (id: string, attributes: Record<string, string> = {}) =>
          seen.find(
            (metric) =>
              metric.id === id && Object.entries(attributes).every(([key, value]) => metric.attributes?.[key] === value)
          )?.state as { readonly count: number; readonly max: number } | undefined
        assert.strictEqual(of("lanekeeper.lane.runs", { result: "failed", lane: "test lane" })?.count, 1)
        assert.strictEqual(of("lanekeeper.lane.runs", { result: "succeeded" })?.count, 2)
        assert.strictEqual(of("lanekeeper.lane.rows", { outcome: "ready" })?.count, 4)
        assert.strictEqual(of("lanekeeper.lane.rows", { outcome: "dead" })?.count, 2)
        assert.strictEqual(of("lanekeeper.lane.overruns")?.count, 1)
        assert.strictEqual(of("lanekeeper.lane.duration")?.max, 1500)
        assert.strictEqual(of("lanekeeper.lane.lateness")?.count, 3)
      }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
    )
  )

  test(
    "keeps its siblings on time, whatever becomes of it [LK-A12, LK-B6]",
    lanes(
      Effect.gen(function* () {
        const { now, seen } = yield* instants
        for (const body of [Effect.never, Effect.die("no"), Effect.succeed(moved(1, true))]) {
          yield* looping(laneOf(Effect.delay(body, "1 milli")))
        }
        yield* looping(laneOf(Effect.as(now, done)))
        yield* TestClock.adjust("5 seconds")
        assert.deepStrictEqual(yield* seen, [0, 1000, 2000, 3000, 4000, 5000])
      })
    )
  )
})
