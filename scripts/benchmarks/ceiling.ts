/**
 * Measures how fast jobs can be claimed and finished at all: the schema's functions beside a plain table whose rows are
 * updated in place, both driven by a loop in the server, so that no client is measured.
 *
 * The machine may be busy with other things, so the contenders take turns, pinned and unpinned in
 * two databases of one server, and a ratio is taken within a round.
 */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { type Benchmark, type Figure, figure } from "./Benchmark.ts"
import {
  type Contender,
  onConflict,
  plain,
  plainLazily,
  ranges,
  schemas,
  setup,
  singles,
  unfenced
} from "./ceilingContenders.ts"
import { createDatabase, startServer } from "./server.ts"

const floats = (values: ReadonlyArray<number>) => Result.getOrThrow(PgTypes.array(values, PgTypes.OID.float8))

const places = [1, 4].flatMap((connections) => [500, 100, 10].map((batch) => ({ batch, connections })))

interface Plan {
  readonly rounds: number
  /** How often each contender has its turn in a cell. */
  readonly turns: number
  readonly milliseconds: number
  /** Consumed before anything is measured: under the pinned snapshot, or with vacuums after. */
  readonly buried: number
}

/**
 * Ten minutes at 2,000 jobs a second: what a pinned snapshot costs the plain table grows with what was done since. In turns
 * of a second: a walk over what is dead is due so often, and a shorter turn would pay for a whole one.
 */
const long: Plan = { rounds: 2, turns: 1, milliseconds: 1_000, buried: 1_200_000 }
const brief: Plan = { rounds: 2, turns: 3, milliseconds: 80, buried: 100_000 }

const endless = 2 ** 31 - 1
/** Jobs a second that no contender reaches: tables are filled for it. */
const most = (batch: number) => (batch === 500 ? 300_000 : batch === 100 ? 200_000 : 60_000)

interface Cell {
  readonly contender: string
  readonly pinned: boolean
  readonly connections: number
  readonly batch: number
  readonly round: number
  readonly rate: number
  readonly wal: number
  readonly dead: number
}

/** A connection, and what the procedure on it remembers from call to call. */
interface Line {
  readonly connection: PgConnection.PgConnection
  memory: ReadonlyArray<number>
}

/** One contender in one database, filled and ready to be measured. */
interface Entrant {
  readonly contender: Contender
  readonly pinned: boolean
  readonly admin: PgConnection.PgConnection
  readonly lines: ReadonlyArray<Line>
}

/** Drives every line until the time is over or the jobs are done. */
const drive = Effect.fnUntraced(function* (
  { drive }: Contender,
  lines: ReadonlyArray<Line>,
  batch: number,
  until: { readonly milliseconds: number; readonly jobs: number }
) {
  const results = yield* Effect.forEach(
    lines,
    Effect.fnUntraced(function* (line) {
      const parameters = [batch, until.milliseconds, until.jobs, floats(line.memory)]
      const { rows } = yield* line.connection.query(drive, parameters)
      const result = rows[0] as { jobs: number; claims: number; memory: ReadonlyArray<number> }
      line.memory = result.memory
      return result
    }),
    { concurrency: "unbounded" }
  )
  return {
    done: results.reduce((sum, { jobs }) => sum + jobs, 0),
    claims: results.reduce((sum, { claims }) => sum + claims, 0)
  }
})

const line = (connection: PgConnection.PgConnection): Line => ({ connection, memory: [0, 0, 0, 0, 0, 0, 0, 0, 0] })

const enter = Effect.fnUntraced(function* (
  url: Redacted.Redacted<string>,
  contender: Contender,
  pinned: boolean,
  jobs: number
) {
  const admin = yield* PgConnection.make({ url })
  yield* admin.query(contender.fill, [jobs], false)
  for (const table of contender.tables) yield* admin.query(`VACUUM (ANALYZE) ${table}`, [], false)
  const connections = yield* Effect.replicateEffect(PgConnection.make({ url }), 4)
  return { contender, pinned, admin, lines: connections.map(line) } satisfies Entrant
})

/** Opens a transaction that has read, and keeps its snapshot for the rest of the scope. */
const pin = Effect.fnUntraced(function* (url: Redacted.Redacted<string>) {
  const report = yield* PgConnection.make({ url })
  yield* report.query("BEGIN ISOLATION LEVEL REPEATABLE READ")
  yield* report.query("SELECT count(*) FROM pg_class")
})

const walPosition = ({ admin }: Entrant) =>
  Effect.map(admin.query("SELECT pg_current_wal_insert_lsn() - '0/0' AS wal"), ({ rows }) => Number(rows[0]!["wal"]))

const deadVisited = Effect.fnUntraced(function* ({ admin, contender, lines }: Entrant) {
  for (const connection of [...lines.map(({ connection }) => connection), admin])
    yield* connection.query("SELECT pg_stat_force_next_flush()::text")
  const { rows } = yield* admin.query(
    `SELECT sum(idx_tup_read - idx_tup_fetch)::float8 AS dead FROM pg_stat_all_indexes WHERE ${contender.searched}`
  )
  return Number(rows[0]!["dead"])
})

/** All entrants at one place, in turns. */
const compete = Effect.fnUntraced(function* (
  entrants: ReadonlyArray<Entrant>,
  { batch, connections }: (typeof places)[number],
  round: number,
  plan: Plan
) {
  const sums = entrants.map((entrant) => ({ entrant, done: 0, claims: 0, seconds: 0, wal: 0, dead: 0 }))
  for (const sum of sums) {
    yield* drive(sum.entrant.contender, sum.entrant.lines.slice(0, connections), batch, {
      milliseconds: 30,
      jobs: 3 * batch
    })
    sum.dead -= yield* deadVisited(sum.entrant)
  }
  for (let turn = 0; turn < plan.turns; turn++) {
    for (let place = 0; place < sums.length; place++) {
      const sum = sums[(place + turn) % sums.length]!
      const wal = yield* walPosition(sum.entrant)
      const start = performance.now()
      const lines = sum.entrant.lines.slice(0, connections)
      const { claims, done } = yield* drive(sum.entrant.contender, lines, batch, { ...plan, jobs: endless })
      if (done === 0) return yield* Effect.die(new Error(`${sum.entrant.contender.name} ran out of jobs: fill more`))
      sum.seconds += (performance.now() - start) / 1_000
      sum.wal += (yield* walPosition(sum.entrant)) - wal
      sum.done += done
      sum.claims += claims
    }
  }
  const cells: Array<Cell> = []
  for (const { claims, dead, done, entrant, seconds, wal } of sums) {
    const { contender, pinned } = entrant
    const visited = (dead + (yield* deadVisited(entrant))) / claims
    cells.push({
      contender: contender.name,
      pinned,
      connections,
      batch,
      round,
      rate: done / seconds,
      wal: wal / done,
      dead: visited
    })
  }
  return cells
})

/** One round: everything filled anew. */
const race = Effect.fnUntraced(function* (
  urls: readonly [Redacted.Redacted<string>, Redacted.Redacted<string>],
  round: number,
  plan: Plan
) {
  const seconds = (plan.turns * plan.milliseconds) / 1_000
  const measured = places.reduce((sum, { batch }) => sum + most(batch) * seconds, 0)
  const jobs = Math.ceil((measured + plan.buried + 40_000) / 500) * 500
  const entrants: Array<Entrant> = []
  for (const contender of [plain, ranges, singles]) {
    entrants.push(yield* enter(urls[0], contender, false, jobs))
    entrants.push(yield* enter(urls[1], contender, true, jobs))
  }
  yield* pin(urls[1])
  for (const { admin, contender, lines, pinned } of entrants) {
    if (contender.bury !== undefined) yield* lines[0]!.connection.query(contender.bury, [plan.buried], false)
    else yield* drive(contender, lines.slice(0, 1), 500, { milliseconds: endless, jobs: plan.buried })
    // What an autovacuum would have done meanwhile.
    if (!pinned) for (const table of contender.tables) yield* admin.query(`VACUUM (ANALYZE) ${table}`, [], false)
  }
  yield* entrants[0]!.admin.query("CHECKPOINT", [], false) // so that none falls into a cell soon
  const cells: Array<Cell> = []
  for (const place of places) cells.push(...(yield* compete(entrants, place, round, plan)))
  return cells
}, Effect.scoped)

/** What the fence costs: three ways to end attempts, on the same tables, in turns. */
const raceFences = Effect.fnUntraced(function* (url: Redacted.Redacted<string>, round: number, plan: Plan) {
  const first = yield* enter(
    url,
    ranges,
    false,
    Math.ceil((3 * plan.turns * plan.milliseconds * (most(500) + most(100))) / 500_000) * 500 + 50_000
  )
  const others = [onConflict, unfenced].map((contender) => ({ ...first, contender }))
  const cells: Array<Cell> = []
  for (const batch of [500, 100]) {
    cells.push(...(yield* compete([first, ...others], { batch, connections: 1 }, round, plan)))
  }
  return cells
}, Effect.scoped)

/** What waiting for the disk at a claim costs the plain table: ours do not wait there. */
const raceWaits = Effect.fnUntraced(function* (url: Redacted.Redacted<string>, round: number, plan: Plan) {
  const seconds = (3 * plan.turns * plan.milliseconds) / 1_000
  const jobs = Math.ceil(places.reduce((sum, { batch }) => sum + most(batch) / 6, 0) * seconds) + 50_000
  const waiting = yield* enter(url, plain, false, jobs)
  const cells: Array<Cell> = []
  for (const place of places.filter(({ connections }) => connections === 1)) {
    cells.push(...(yield* compete([waiting, { ...waiting, contender: plainLazily }], place, round, plan)))
  }
  return cells
}, Effect.scoped)

/** In several goes: the WAL is the whole server's, and a checkpoint or a vacuum may fall into one. */
const walOfEnqueue = Effect.fnUntraced(function* (
  url: Redacted.Redacted<string>,
  contender: Contender,
  each: number,
  calls: number
) {
  const entrant = yield* enter(url, contender, false, 500)
  const goes: Array<number> = []
  for (let go = 0; go < 9; go++) {
    const before = yield* walPosition(entrant)
    for (let call = 0; call < calls; call++) yield* entrant.admin.query(contender.enqueue, [each])
    goes.push(((yield* walPosition(entrant)) - before) / (each * calls))
  }
  return figure(goes).median
}, Effect.scoped)

const run = Effect.fn("ceiling")(function* ({ short }: { readonly short: boolean }) {
  const plan = short ? brief : long
  const server = yield* startServer
  const urls = [
    yield* createDatabase(server.url, "unpinned", schemas),
    yield* createDatabase(server.url, "pinned", schemas)
  ] as const
  for (const url of urls) {
    const admin = yield* PgConnection.make({ url })
    for (const statement of setup) yield* admin.query(statement, [], false)
  }

  const cells: Array<Cell> = []
  const fences: Array<Cell> = []
  const waits: Array<Cell> = []
  for (let round = 0; round < plan.rounds; round++) {
    cells.push(...(yield* race(urls, round, plan)))
    fences.push(...(yield* raceFences(urls[0], round, plan)))
    waits.push(...(yield* raceWaits(urls[0], round, plan)))
  }
  const enqueues = {
    bulk: yield* walOfEnqueue(urls[0], ranges, 8_000, 1),
    one: yield* walOfEnqueue(urls[0], singles, 1, 100),
    plainBulk: yield* walOfEnqueue(urls[0], plain, 8_000, 1),
    plainOne: yield* walOfEnqueue(urls[0], plain, 1, 100)
  }
  return report(server.facts, plan, cells, fences, waits, enqueues)
})

type Where = Pick<Cell, "contender" | "pinned" | "connections" | "batch">

const report = (
  facts: Readonly<Record<string, string>>,
  plan: Plan,
  cells: ReadonlyArray<Cell>,
  fences: ReadonlyArray<Cell>,
  waits: ReadonlyArray<Cell>,
  enqueues: Readonly<Record<"bulk" | "one" | "plainBulk" | "plainOne", number>>
) => {
  const at = (where: Partial<Where>, among = cells) =>
    among.filter((cell) => Object.entries(where).every(([key, value]) => cell[key as keyof Where] === value))
  const of = (measured: "rate" | "wal" | "dead", where: Partial<Where>, among = cells) =>
    figure(at(where, among).map((cell) => cell[measured]))
  /** Within each round, and then over the rounds. */
  const ratio = (one: Partial<Where>, other: Partial<Where>, among = cells): Figure => {
    const others = at(other, among)
    return figure(at(one, among).map(({ rate, round }) => rate / others.find((cell) => cell.round === round)!.rate))
  }
  const named = ({ batch, connections }: (typeof places)[number]) => [String(batch), String(connections)]
  const all = [plain, ranges, singles].map(({ name }) => name)
  const wal = (enqueue: number, contender: string) => {
    const cycle = of("wal", { contender, pinned: false, connections: 1, batch: 500 }).median
    return [enqueue, cycle, enqueue + cycle].map((bytes) => figure([bytes]))
  }
  const single = places.filter(({ connections }) => connections === 1)
  const goal = (contender: string, pinned: boolean, atLeast: number) =>
    single.map(({ batch, connections }) => ({
      goal: `${contender}, ${pinned ? "snapshot pinned" : "no snapshot pinned"}, batch ${batch}: times the plain table`,
      atLeast,
      found: ratio({ contender, pinned, connections, batch }, { contender: plain.name, pinned, connections, batch })
    }))

  return {
    facts: {
      ...facts,
      driven: `in the server, one claim and one finish a cycle, a transaction each; ${plan.rounds} rounds of ${plan.turns} turns of ${plan.milliseconds} ms`,
      pinned: `a REPEATABLE READ transaction that has read, with ${plan.buried} jobs consumed under it before measuring, and as many where none is pinned`
    },
    tables: [
      ...[false, true].map((pinned) => ({
        title: `Claimed and finished, jobs a second, ${pinned ? "snapshot pinned" : "no snapshot pinned"}`,
        columns: ["batch", "connections", ...all],
        rows: places.map((place) => [
          ...named(place),
          ...all.map((contender) => of("rate", { ...place, contender, pinned }))
        ])
      })),
      {
        title: "Ratios",
        columns: [
          "batch",
          "connections",
          ...[ranges, singles].flatMap(({ name }) => [`${name} / plain`, "pinned", "own pinned / unpinned"])
        ],
        rows: places.map((place) => [
          ...named(place),
          ...[ranges.name, singles.name].flatMap((contender) => [
            ...[false, true].map((pinned) =>
              ratio({ ...place, contender, pinned }, { ...place, contender: plain.name, pinned })
            ),
            ratio({ ...place, contender, pinned: true }, { ...place, contender, pinned: false })
          ])
        ])
      },
      {
        title: "Dead index entries visited a claim",
        columns: ["batch", "connections", ...all.flatMap((name) => [name, "pinned"])],
        rows: places.map((place) => [
          ...named(place),
          ...all.flatMap((contender) => [false, true].map((pinned) => of("dead", { ...place, contender, pinned })))
        ])
      },
      {
        title: "WAL bytes a job (claimed and finished by 500)",
        columns: ["", "enqueue", "claim and finish", "together"],
        rows: [
          ["plain table, 8,000 a call", ...wal(enqueues.plainBulk, plain.name)],
          ["plain table, one a call", ...wal(enqueues.plainOne, plain.name)],
          ["tickets of 500, 8,000 a call", ...wal(enqueues.bulk, ranges.name)],
          ["tickets of one, one a call", ...wal(enqueues.one, singles.name)]
        ]
      },
      {
        title: "The disk: jobs a second of the plain table, one connection. A claim of ours does not wait for the disk",
        columns: ["batch", plain.name, plainLazily.name, "not waited for / waited for"],
        rows: single.map((place) => [
          String(place.batch),
          ...[plain, plainLazily].map(({ name }) => of("rate", { ...place, contender: name }, waits)),
          ratio({ ...place, contender: plainLazily.name }, { ...place, contender: plain.name }, waits)
        ])
      },
      {
        title: "The fence: jobs a second with tickets of 500, one connection, and against no fence",
        columns: [
          "batch",
          ...[ranges, onConflict, unfenced].map(({ name }) => name),
          "shipped / none",
          "ON CONFLICT / none"
        ],
        rows: [500, 100].map((batch) => [
          String(batch),
          ...[ranges, onConflict, unfenced].map(({ name }) => of("rate", { contender: name, batch }, fences)),
          ...[ranges, onConflict].map(({ name }) =>
            ratio({ contender: name, batch }, { contender: unfenced.name, batch }, fences)
          )
        ])
      }
    ],
    goals: [
      ...goal(ranges.name, false, 2.5),
      ...goal(ranges.name, true, 15),
      ...goal(singles.name, false, 1.2),
      ...goal(singles.name, true, 5),
      ...[ranges, singles].flatMap(({ name: contender }) =>
        single.map((place) => ({
          goal: `${contender}, batch ${place.batch}: pinned against unpinned`,
          atLeast: 0.8,
          found: ratio({ ...place, contender, pinned: true }, { ...place, contender, pinned: false })
        }))
      )
    ]
  }
}

export const ceiling: Benchmark = {
  name: "ceiling",
  about:
    "claim and finish as fast as the server can, beside a plain table updated in place (about 15 minutes; --short: 2)",
  run
}
