/**
 * Measures how fast jobs can be claimed and finished at all: the schema's functions beside a plain table whose rows are
 * updated in place, both driven by a loop in the server, so that no client is measured.
 *
 * The machine may be busy with other things, so the contenders take turns, pinned and unpinned in two databases of one server,
 * and a ratio is taken within a round.
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
  /** How often each contender is driven in a cell, and how long. */
  readonly turns: number
  readonly milliseconds: number
  /** Consumed before anything is measured: under the pinned snapshot, or with vacuums after. */
  readonly buried: number
}

/** Ten minutes at 2,000 jobs a second: what a pinned snapshot costs grows with what was consumed since. */
const long: Plan = { rounds: 2, turns: 3, milliseconds: 250, buried: 1_200_000 }
const brief: Plan = { rounds: 1, turns: 4, milliseconds: 150, buried: 100_000 }

const endless = 2 ** 31 - 1
/** Microseconds of a look from which on there are marks. */
const dear = 250
/** Jobs a second that no contender reaches: tables are filled for it. */
const most = ({ batch, connections }: (typeof places)[number]) =>
  (batch === 500 ? 200_000 : batch === 100 ? 100_000 : 20_000) * (connections === 1 ? 1 : 1.5)

/** As many as those who share them can do in these cells, and before. */
const jobsFor = (cells: typeof places, share: number, { milliseconds, turns }: Plan) => {
  const each = cells.reduce((sum, cell) => sum + most(cell), 0) * ((turns * milliseconds) / 1_000)
  return Math.ceil((share * each + 150_000) / 500) * 500
}

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
  return yield* Effect.forEach(
    lines,
    Effect.fnUntraced(function* (line) {
      const parameters = [batch, until.milliseconds, until.jobs, floats(line.memory)]
      const { rows } = yield* line.connection.query(drive, parameters)
      const result = rows[0] as { jobs: number; seconds: number; memory: ReadonlyArray<number> }
      line.memory = result.memory
      return result
    }),
    { concurrency: "unbounded" }
  )
})

/** How many seconds each line takes for what it does every ten: one that walks from the start anyway does nothing. */
const seldom = ({ seldom }: Contender, lines: ReadonlyArray<Line>) =>
  Effect.forEach(
    lines,
    Effect.fnUntraced(function* ({ connection, memory }) {
      if (seldom === undefined || memory[0]! < dear) return 0
      const start = performance.now()
      yield* connection.query(seldom)
      return (performance.now() - start) / 1_000
    }),
    { concurrency: "unbounded" }
  )

const line = (connection: PgConnection.PgConnection): Line => ({ connection, memory: [0, 0, 0, 0, 0, 0, 0, 0] })

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
  { milliseconds, turns }: Plan
) {
  const lines = (entrant: Entrant) => entrant.lines.slice(0, connections)
  const sums = entrants.map((entrant) => ({
    entrant,
    done: 0,
    wal: 0,
    dead: 0,
    byLine: lines(entrant).map(() => ({ jobs: 0, seconds: 0 }))
  }))
  for (const sum of sums) {
    yield* drive(sum.entrant.contender, lines(sum.entrant), batch, { milliseconds: 30, jobs: 3 * batch })
    sum.dead -= yield* deadVisited(sum.entrant)
  }
  for (let turn = 0; turn < turns; turn++) {
    for (let place = 0; place < sums.length; place++) {
      const sum = sums[(place + turn) % sums.length]!
      const wal = yield* walPosition(sum.entrant)
      const driven = yield* drive(sum.entrant.contender, lines(sum.entrant), batch, { milliseconds, jobs: endless })
      sum.wal += (yield* walPosition(sum.entrant)) - wal
      if (driven.every(({ jobs }) => jobs === 0))
        return yield* Effect.die(new Error(`${sum.entrant.contender.name} ran out of jobs: fill more`))
      for (const [line, { jobs, seconds }] of driven.entries()) {
        sum.done += jobs
        sum.byLine[line]!.jobs += jobs
        sum.byLine[line]!.seconds += seconds
      }
    }
  }
  const cells: Array<Cell> = []
  for (const { byLine, dead, done, entrant, wal } of sums) {
    const { contender, pinned } = entrant
    const visited = yield* deadVisited(entrant)
    const besides = yield* seldom(contender, lines(entrant))
    const share = (turns * milliseconds) / 10_000
    const visitedBesides = ((yield* deadVisited(entrant)) - visited) * share
    cells.push({
      contender: contender.name,
      pinned,
      connections,
      batch,
      round,
      rate: byLine.reduce((sum, { jobs, seconds }, line) => sum + jobs / (seconds + share * besides[line]!), 0),
      wal: wal / done,
      dead: (visited + dead + visitedBesides) / done
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
  const entrants: Array<Entrant> = []
  for (const contender of [plain, ranges, singles]) {
    const jobs = plan.buried + jobsFor(places, contender.share, plan)
    entrants.push(yield* enter(urls[0], contender, false, jobs))
    entrants.push(yield* enter(urls[1], contender, true, jobs))
  }
  yield* pin(urls[1])
  for (const { admin, contender, lines, pinned } of entrants) {
    if (contender.bury !== undefined) yield* lines[0]!.connection.query(contender.bury, [plan.buried], false)
    else yield* drive(contender, lines.slice(0, 1), 500, { milliseconds: endless, jobs: plan.buried })
    // Until each line has walked as often as it takes for something to be settled.
    if (contender.seldom !== undefined) yield* drive(contender, lines, 10, { milliseconds: 3_200, jobs: 30_000 })
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
  const cells = [500, 100].map((batch) => ({ batch, connections: 1 }))
  const first = yield* enter(url, ranges, false, jobsFor(cells, 3, plan))
  const others = [onConflict, unfenced].map((contender) => ({ ...first, contender }))
  return yield* Effect.forEach(cells, (cell) => compete([first, ...others], cell, round, plan))
}, Effect.scoped)

/** What waiting for the disk at a claim costs the plain table: ours do not wait there. */
const raceWaits = Effect.fnUntraced(function* (url: Redacted.Redacted<string>, round: number, plan: Plan) {
  const cells = places.filter(({ connections }) => connections === 1)
  const waiting = yield* enter(url, plain, false, jobsFor(cells, 2 * plain.share, plan))
  return yield* Effect.forEach(cells, (cell) =>
    compete([waiting, { ...waiting, contender: plainLazily }], cell, round, plan)
  )
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
    fences.push(...(yield* raceFences(urls[0], round, plan)).flat())
    waits.push(...(yield* raceWaits(urls[0], round, plan)).flat())
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
      pinned: `a REPEATABLE READ transaction that has read, with ${plan.buried} jobs consumed under it before measuring, and as many where none is pinned; what a claimer does every ten seconds is timed by itself, and its share counts`
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
        title: "Dead index entries visited a job",
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
    "claim and finish as fast as the server can, beside a plain table updated in place (about 10 minutes; --short: 2)",
  run
}
