import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { configure } from "../../src/lanes/Configured.ts"
import { lanes } from "../../src/lanes/index.ts"
import { Lines } from "./world.ts"

describe("The options of lanes", () => {
  it.effect("leave the list as it is when nothing is said [LK-B13]", () =>
    Effect.gen(function* () {
      const configured = yield* configure({})
      assert.deepStrictEqual(configured.lanes, lanes)
      assert.deepStrictEqual(
        configured.lanes.map((lane) => [lane.name, lane.class, Duration.toMillis(lane.interval), lane.batch]),
        [
          ["promote", "user-visible", 250, 1_000],
          ["rescue-stale", "user-visible", 5_000, 500],
          ["rescue-deadline", "user-visible", 5_000, 500],
          ["rescue-callback", "user-visible", 5_000, 500],
          ["slots", "storage", 1_000, 1_000],
          ["aging", "hygiene", 10_000, 1_000],
          ["retention", "hygiene", 60_000, 1_000],
          ["stats", "hygiene", 15_000, 1],
          ["reconcile", "hygiene", 60_000, 256],
          ["outbox", "hygiene", 1_000, 256],
          ["liveness", "hygiene", 60_000, 1_000],
          ["indexes", "hygiene", 1_200_000, 1],
          ["hook", "hygiene", 60_000, 1]
        ]
      )
      assert.deepInclude(configured, {
        heartbeat: Duration.seconds(5),
        staleAfter: Duration.seconds(30),
        crashBudget: 3
      })
    })
  )

  it.effect("change one lane and leave the others [LK-M1]", () =>
    Effect.gen(function* () {
      const configured = yield* configure({ lanes: { promote: { interval: "1 second", batch: 10 } } })
      const [promote, ...others] = configured.lanes
      assert.deepInclude(promote, { interval: Duration.seconds(1), batch: 10 })
      assert.deepStrictEqual(others, lanes.slice(1))
    })
  )

  it.effect("are refused with everything that is wrong at once [LK-M1]", () =>
    Effect.gen(function* () {
      const { message } = yield* Effect.flip(
        configure({
          heartbeat: "5 seconds",
          staleAfter: "5 seconds",
          crashBudget: -1,
          lanes: { promote: { interval: 0 }, "rescue-stale": { batch: 10_001 }, promot: {} }
        })
      )
      assert.deepStrictEqual(message.split("\n"), [
        "staleAfter (LANEKEEPER_STALE_AFTER) is 5s: it is longer than the heartbeat, 5s",
        "crashBudget (LANEKEEPER_CRASH_BUDGET) is -1: it is a whole number from 0",
        `There is no lane "promot": there are ${lanes.map(({ name }) => name).join(", ")}`,
        "The interval of promote is 0: it is longer than nothing",
        "The batch of rescue-stale is 10001: it is from 1 to 10,000"
      ])
    })
  )

  const log = new Lines()
  it.effect(
    "are warned of when a worker is given up after less than three heartbeats, or by somebody who looks too seldom [LK-M1]",
    () =>
      Effect.gen(function* () {
        yield* configure({ staleAfter: "15 seconds" })
        assert.deepStrictEqual(log.lines, [])
        yield* configure({ staleAfter: "14 seconds" })
        assert.lengthOf(log.lines, 1)
        yield* configure({ heartbeat: "1 second", staleAfter: "10 seconds" })
        assert.match(JSON.stringify(log.lines[1]), /rescue-stale looks too seldom/)
        yield* configure({
          heartbeat: "1 second",
          staleAfter: "10 seconds",
          lanes: { "rescue-stale": { interval: "4 seconds" } }
        })
        assert.lengthOf(log.lines, 2)
      }).pipe(Effect.provide(log.layer))
  )
})
