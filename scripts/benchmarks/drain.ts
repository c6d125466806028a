/**
 * Measures how fast jobs that do nothing are drained: by one process at several concurrencies and by four, beside the
 * plain table, in turns. History is kept, and every drain is checked to its last job.
 *
 * Workers are processes of their own, warmed up by other jobs first. Time runs from when the jobs may be claimed until
 * the last has ended in the database.
 */
import * as Effect from "effect/Effect"
import { type Benchmark, figure } from "./Benchmark.ts"
import { cpuOf, startServer } from "./server.ts"
import type { Contender } from "./work/Contender.ts"
import { contenders } from "./work/contenders.ts"
import { makeTemplate, openDatabase } from "./work/database.ts"
import { startFleet } from "./work/fleet.ts"

interface Cell {
  readonly title: string
  readonly processes: number
  readonly concurrency: number
  /** Jobs a second: DESIGN's goal. */
  readonly goal: number
}

const cells: ReadonlyArray<Cell> = [
  { title: "concurrency 1", processes: 1, concurrency: 1, goal: 10_000 },
  { title: "10", processes: 1, concurrency: 10, goal: 30_000 },
  { title: "100", processes: 1, concurrency: 100, goal: 70_000 },
  { title: "1,000", processes: 1, concurrency: 1_000, goal: 90_000 },
  { title: "four processes, 100", processes: 4, concurrency: 100, goal: 70_000 }
]

const jobsOf = (contender: Contender, { concurrency }: Cell, most: number) =>
  contender === contenders[0] ? Math.min(most, 2_000 * concurrency) : most // the plain table is slow one by one

interface Measured {
  readonly rate: number
  /** Microseconds of a worker's CPU for a job. */
  readonly client: number
  /** Seconds of the server's CPU for 10,000 jobs. */
  readonly server: number
}

export const drain: Benchmark = {
  name: "drain",
  about: "jobs that do nothing, drained by one process and by four, beside SKIP LOCKED on a plain table",
  run: Effect.fnUntraced(function* ({ short }) {
    const { admin, directory, facts, url } = yield* startServer
    const rounds = short ? 2 : 5
    const most = short ? 20_000 : 50_000
    for (const [index, contender] of contenders.entries()) {
      yield* makeTemplate(admin, url, contender, `contender_${index}`)
    }

    const measure = Effect.fnUntraced(function* (contender: Contender, cell: Cell) {
      const jobs = jobsOf(contender, cell, most)
      const warmUp = cell.processes * Math.min(jobs, 50_000) // what is compiled late is compiled by then
      const template = `contender_${contenders.indexOf(contender)}`
      const { producer, url: database } = yield* openDatabase(admin, url, contender, template)
      const fleet = yield* startFleet({ contender, url: database, ...cell })
      const ended = Effect.repeat(Effect.delay(producer.ends, "5 millis"), {
        until: ({ ended }) => ended >= fleet.total()
      })
      yield* producer.stock(warmUp)
      yield* producer.go
      yield* fleet.until(warmUp)
      yield* ended
      yield* producer.stock(jobs)
      yield* admin.query("CHECKPOINT", [], false)
      const [client, server, start] = [fleet.micros(), cpuOf(directory), performance.now()]
      yield* producer.go
      yield* fleet.until(warmUp + jobs)
      const found = yield* ended
      const took = performance.now() - start
      const all = warmUp + jobs
      if (found.ended !== all || found.jobs !== all || found.left !== 0 || fleet.total() !== all) {
        return yield* Effect.die(`${contender.name}: of ${all} jobs ${JSON.stringify(found)}, ${fleet.total()} ran`)
      }
      return {
        rate: (jobs * 1_000) / took,
        client: (fleet.micros() - client) / jobs,
        server: ((cpuOf(directory) - server) * 10_000) / jobs
      } satisfies Measured
    }, Effect.scoped)

    const found = new Map<string, Array<Measured>>()
    for (let round = 0; round < rounds; round++) {
      for (const cell of cells) {
        for (const contender of contenders) {
          const key = `${contender.name}\0${cell.title}`
          found.set(key, [...(found.get(key) ?? []), yield* measure(contender, cell)])
        }
      }
    }
    const of = (contender: Contender, cell: Cell, value: keyof Measured) =>
      figure(found.get(`${contender.name}\0${cell.title}`)!.map((measured) => measured[value]))
    const table = (title: string, value: keyof Measured) => ({
      title,
      columns: ["", ...cells.map(({ title }) => title)],
      rows: contenders.map((contender) => [contender.name, ...cells.map((cell) => of(contender, cell, value))])
    })
    const ours = contenders.at(-1)!
    return {
      facts: {
        ...facts,
        driven: `${rounds} rounds of ${most} jobs of 200 bytes, after as many for each process to warm up; each checked to its last job`
      },
      tables: [
        table("jobs a second", "rate"),
        table("microseconds of the workers' CPU for a job", "client"),
        table("seconds of the server's CPU for 10,000 jobs", "server")
      ],
      goals: cells.map((cell) => ({
        goal: `jobs a second, ${cell.title}`,
        atLeast: cell.goal,
        found: of(ours, cell, "rate")
      }))
    }
  })
}
