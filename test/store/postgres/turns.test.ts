/** Where claims and walks begin, while walking over all that was consumed is dear. */
import { assert, describe, it } from "@effect/vitest"
import { Turns } from "../../../src/store/postgres/Turns.ts"

const turn = { queue: "post", kind: "mail", turn: 11 }
const dear = 5_000
const second = 1_000

/** One that goes by its marks since a moment ago, and has taken a ticket that was drawn long before. */
const makeTurns = (ticket: bigint) => {
  const turns = new Turns()
  for (const now of [-1, 0]) turns.claimed([{ ...turn, ticket, drawnAt: -second }], now, dear)
  const mark = () => turns.known(["post"], ["mail"])[0]!.mark
  const took = (ticket: bigint, now: number, drawnAt: number) => turns.claimed([{ ...turn, ticket, drawnAt }], now)
  /** Sends the walk that is due, and tells where it began once it is back. */
  const walk = (now: number, snapshot: readonly [xmin: bigint, xmax: bigint], found?: bigint) => {
    const due = turns.walkDue(now)
    if (due === undefined) return undefined
    const [xmin, xmax] = snapshot
    const seen = found === undefined ? [] : [{ ...turn, ticket: found }]
    turns.walked(due, { found: seen, xmin, xmax, micros: dear }, now)
    return due.turns[0]!.from
  }
  return { turns, mark, took, walk }
}

describe("A claim under a pinned snapshot", () => {
  it("begins at what was taken last, if it was there for a while [LK-D1]", () => {
    const { mark, took } = makeTurns(10n)
    took(510n, 1, 1 - 100)
    assert.strictEqual(mark(), 510n)
  })

  it("begins a tenth of a second behind what is taken as it comes: others commit a little later [LK-F3]", () => {
    const { mark, took } = makeTurns(10n)
    for (const [ticket, now, from] of [
      [20n, 200, 10n],
      [30n, 250, 10n],
      [40n, 300, 20n],
      [50n, 399, 20n],
      [60n, 400, 40n]
    ] as const) {
      took(ticket, now, now)
      assert.strictEqual(mark(), from)
    }
  })

  it("goes back to what an earlier claim found held by another, or took some of [LK-F4]", () => {
    const { mark, took } = makeTurns(10n)
    took(510n, 1, -second)
    took(300n, 2, -second)
    assert.strictEqual(mark(), 300n)
  })

  it("goes back to what a walk found [LK-F3]", () => {
    const { mark, took, walk } = makeTurns(10n)
    took(500n, 500, 0)
    walk(second, [7n, 7n], 300n)
    assert.strictEqual(mark(), 300n)
    took(600n, second + 1, 0)
    assert.strictEqual(mark(), 600n)
  })
})

describe("A walk under a pinned snapshot", () => {
  it("is due once a second, and begins where nothing can come any more since the last but one [LK-D1]", () => {
    const { took, walk } = makeTurns(10n)
    assert.strictEqual(walk(second - 1, [1n, 1n]), undefined)
    const begins = [1, 2, 3, 4].map((time) => {
      took(BigInt(100 * time), time * second - 1, 0)
      return walk(time * second, [BigInt(10 * time), BigInt(10 * time)])
    })
    assert.deepStrictEqual(begins, [0n, 0n, 100n, 200n])
  })

  it("goes back as far as a transaction may have drawn a number that is still open [LK-F3]", () => {
    const { took, walk } = makeTurns(10n)
    const begins = [1, 2, 3, 4, 5, 6, 7].map((time) => {
      took(BigInt(100 * time), time * second - 1, 0)
      // Transaction 15 is open from before the second walk until after the fifth.
      return walk(time * second, [time >= 2 && time <= 5 ? 15n : BigInt(10 * time), BigInt(10 * time)])
    })
    // 15 began after the first walk and before the second, whose marks are settled by the sixth.
    assert.deepStrictEqual(begins, [0n, 0n, 100n, 100n, 100n, 100n, 200n])
  })

  it("settles nothing above what it has found [LK-F3]", () => {
    const { took, walk } = makeTurns(10n)
    took(500n, 500, 0)
    walk(second, [10n, 10n])
    assert.strictEqual(walk(2 * second, [20n, 20n], 300n), 0n)
    assert.strictEqual(walk(3 * second, [30n, 30n], 300n), 300n)
    took(900n, 3 * second + 1, 0)
    walk(4 * second, [40n, 40n])
    assert.strictEqual(walk(5 * second, [50n, 50n]), 300n)
    assert.strictEqual(walk(6 * second, [60n, 60n]), 900n)
  })

  it("covers a turn that is new from its start [LK-F3]", () => {
    const { took, turns, walk } = makeTurns(10n)
    for (const time of [1, 2]) {
      took(100n, time * second - 1, 0)
      walk(time * second, [BigInt(time), BigInt(time)])
    }
    turns.claimed([{ ...turn, turn: 9, ticket: 50n, drawnAt: 0 }], 2 * second)
    assert.deepStrictEqual(
      turns.walkDue(3 * second)!.turns.map(({ from, turn }) => [turn, from]),
      [
        [11, 100n],
        [9, 0n]
      ]
    )
  })

  it("is a whole one every ten seconds, or when it takes no more than a thirtieth of the time [LK-D5]", () => {
    for (const [micros, between] of [
      [dear, 10],
      [600 * 1_000, 18]
    ] as const) {
      const turns = new Turns()
      for (const now of [-1, 0]) turns.claimed([], now, micros)
      const whole = Array.from({ length: 40 }, (_, index) => index + 1).filter((time) => {
        const due = turns.walkDue(time * second)!
        turns.walked(due, { found: [], xmin: 1n, xmax: 1n, micros: due.whole ? micros : 10 }, time * second)
        return due.whole
      })
      assert.deepStrictEqual(whole.slice(0, 3), [1, 1 + between, 1 + 2 * between])
    }
  })

  it("ends it, once a whole one is cheap [LK-D1]", () => {
    const { turns, walk } = makeTurns(10n)
    walk(second, [1n, 1n])
    const due = { ...turns.walkDue(2 * second)!, whole: true }
    turns.walked(due, { found: [], xmin: 2n, xmax: 2n, micros: 10 }, 2 * second)
    assert.deepStrictEqual(turns.known(["post"], ["mail"]), [])
    assert.isUndefined(turns.walkDue(60 * second))
  })
})
