/** What was measured, in numbers and in a table. */
import type { Bench, Measure } from "../shapes.ts"
import { table } from "../table.ts"

type Figures = typeof Measure.Type

/** Milliseconds of single calls or waits; `took` is that of all together, where a rate makes sense. */
export const figures = (
  measure: Figures["measure"],
  jobs: number,
  took: number | null,
  times: ReadonlyArray<number>
): Figures => {
  const sorted = times.toSorted((one, other) => one - other)
  const at = (share: number) => rounded(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))])
  return {
    measure,
    jobs,
    perSecond: took === null ? null : Math.round((jobs * 1_000) / took),
    median: at(0.5),
    of100: at(0.99),
    longest: at(1)
  }
}

/** To the microsecond. */
const rounded = (millis: number | undefined) => (millis === undefined ? null : Math.round(millis * 1_000) / 1_000)

const count = (value: number | null) => (value === null ? "" : value.toLocaleString("en"))

const time = (millis: number | null) =>
  millis === null ? "" : `${millis < 100 ? Number(millis.toPrecision(2)) : Math.round(millis)} ms`

export const titles: Readonly<Record<Figures["measure"], string>> = {
  pickup: "from the commit of an enqueue to its handler",
  enqueue: "enqueue, one job a call",
  "enqueue-many": "enqueue, 1,000 jobs a call",
  run: "claim, run and finish"
}

export const report = ({ measures, options, server }: typeof Bench.Type): string => {
  const rows = measures.map((one) => ({
    measured: titles[one.measure],
    jobs: count(one.jobs),
    "jobs/s": count(one.perSecond),
    median: time(one.median),
    "99 of 100": time(one.of100),
    longest: time(one.longest)
  }))
  const { concurrency, payloadBytes, producers } = options
  return [
    table(rows),
    "",
    `PostgreSQL ${server.version}, fsync ${server.fsync}, synchronous_commit ${server.synchronousCommit}; ` +
      `a round trip takes ${time(server.roundTrip)}, a commit ${time(server.commit)}`,
    `One process here for all: ${count(producers)} producers, a worker with concurrency ${count(concurrency)}, ` +
      `payloads of ${count(payloadBytes)} bytes`
  ].join("\n")
}
