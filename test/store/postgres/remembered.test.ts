/** What a process remembers of queues and leases is dropped when it is idle, and nothing is lost by it. */
import { assert, describe, it, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { OpenLeases } from "../../../src/store/postgres/OpenLeases.ts"
import { Turns } from "../../../src/store/postgres/Turns.ts"
import type { LeaseId } from "../../../src/store/Store.ts"
import { empty, layerSuite } from "../suitePostgres.ts"
import { completed, makeWorld } from "../suiteWorld.ts"

const turn = (priority: number) => ({ queue: "post", kind: "mail", turn: 2 * priority + 1 })
const taken = (priority: number, ticket: bigint) => ({ ...turn(priority), ticket, drawnAt: 0 })
const cheap = 10
const dear = 5_000
const minute = 60_000
const priorities = (turns: Turns) => turns.known(["post"], ["mail"]).map(({ turn }) => (turn - 1) / 2)

describe("The marks of turns", () => {
  it("are dropped a minute after the last ticket, while no claim goes by them [LK-D12]", () => {
    const turns = new Turns()
    turns.claimed([taken(1, 1n), taken(2, 2n)], 0, cheap)
    turns.claimed([taken(2, 3n)], minute + 1, cheap)
    turns.claimed([taken(2, 4n)], minute + 2, dear)
    turns.claimed([taken(2, 4n)], minute + 3, dear)
    assert.deepStrictEqual(priorities(turns), [2])
  })

  it("are kept while claims go by them: to find them anew is what is dear [LK-D12]", () => {
    const turns = new Turns()
    for (const now of [0, 1]) turns.claimed([taken(1, 1n), taken(2, 2n)], now, dear)
    turns.claimed([taken(2, 3n)], 10 * minute, dear)
    assert.deepStrictEqual(priorities(turns), [1, 2])
  })

  it("hide no ticket that comes as they are dropped: the one that is taken becomes the mark [LK-D12]", () => {
    const turns = new Turns()
    turns.claimed([taken(1, 100n)], 0, cheap)
    turns.claimed([], minute + 1, cheap)
    turns.claimed([taken(1, 7n)], minute + 1)
    for (const now of [1, 2]) turns.claimed([], minute + 1 + now, dear)
    assert.strictEqual(turns.known(["post"], ["mail"])[0]!.mark, 7n)
  })
})

describe("What is left of leases", () => {
  const [one, two] = [1n as LeaseId, 2n as LeaseId]
  const jobs = (lease: LeaseId, count: number) => Array.from({ length: count }, () => ({ lease }))

  it("is dropped when the store has not known them at two beats, and at one is kept [LK-D12]", () => {
    const open = new OpenLeases()
    for (const lease of [one, two]) open.claimed(lease, 2)
    open.known([one])
    assert.deepStrictEqual(open.over(jobs(two, 1)), [])
    open.known([one])
    assert.deepStrictEqual(open.over([...jobs(two, 1), ...jobs(one, 1)]), [two])
  })
})

layer(layerSuite, { excludeTestServices: true })("A worker that beats", (it) => {
  it.effect("claims and ends as before when its leases were ended by others, or were claimed between its beats", () =>
    Effect.gen(function* () {
      const { claim, enqueue, finish, isAt, register, store } = makeWorld(yield* empty, () => Effect.void)
      const worker = yield* register
      const ids = yield* enqueue({}, {}, {}, {})
      const first = (yield* claim(worker, 2)).jobs
      yield* store.release(worker, [first[0]!.lease])
      yield* store.beat(worker)
      yield* store.beat(worker)
      const { jobs } = yield* claim(worker)
      yield* store.beat(worker)
      assert.lengthOf(jobs, 4)
      for (const job of jobs) assert.strictEqual(yield* finish(worker, job, completed), "accepted")
      yield* isAt("completed", ...ids)
      assert.deepStrictEqual((yield* store.beat(worker)).leases, [])
    })
  )
})
