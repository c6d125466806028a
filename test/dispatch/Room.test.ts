import { assert, it } from "@effect/vitest"
import { makeId } from "../../src/domain/Job.ts"
import { Room } from "../../src/dispatch/Room.ts"
import type { Claimed, LeaseId } from "../../src/store/Store.ts"

const lease = (id: number) => BigInt(id) as LeaseId

let jobs = 0n
const claimed = (id: number, begun: boolean) => ({ id: makeId(1, ++jobs), lease: lease(id), begun }) as Claimed

/** One permit, and 250 jobs that end in a moment; one job has started, and 250 are held ahead in the second lease. */
const busy = () => {
  const room = new Room("post", 1)
  assert.deepStrictEqual(room.ask(0), { queue: "post", limit: 1, ahead: 0 })
  room.running = 200
  while (room.running > 0) room.end()
  assert.deepStrictEqual(room.ask(10), { queue: "post", limit: 1, ahead: 250 })
  room.hold(claimed(1, true), 10)
  for (let n = 0; n < 250; n++) room.hold(claimed(2, false), 10)
  assert.strictEqual(room.next()?.lease, lease(1))
  return room
}

it("asks for the next jobs ahead as soon as those it holds begin, and no earlier [LK-F4]", () => {
  const room = busy()
  assert.deepStrictEqual(room.due(), [])
  assert.isUndefined(room.ask(10))
  room.end()
  assert.deepStrictEqual(room.due(), [lease(2)])
  assert.deepStrictEqual(room.due(), [])
  assert.deepStrictEqual(room.ask(10), { queue: "post", limit: 0, ahead: 250 })
  for (let n = 0; n < 250; n++) room.hold(claimed(3, false), 10)
  assert.isUndefined(room.ask(10))
})

it("starts no job that has not begun, and tries again to begin those that could not [LK-C2]", () => {
  const room = busy()
  room.end()
  const due = new Set(room.due())
  assert.isUndefined(room.next())
  room.notBegun(due)
  assert.deepStrictEqual(room.due(), [...due])
  room.begin(due, due)
  assert.strictEqual(room.next()?.lease, lease(2))
  assert.lengthOf(room.holding, 249)
})

it("lets go of jobs that are not to be had any more, and gives back none that are just beginning [LK-C2]", () => {
  const room = busy()
  room.end()
  const due = new Set(room.due())
  assert.deepStrictEqual(
    room.drop(() => true),
    { begun: [], ahead: [] }
  )
  room.begin(due, new Set())
  assert.lengthOf(room.holding, 0)
})
