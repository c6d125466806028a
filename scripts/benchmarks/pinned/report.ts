/** Makes of the samples of a run its tables, what of them is to be flat, and the chart. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { PieceState } from "../../../src/store/Upkeep.ts"
import { figure, type Goal, type Report, type Table } from "../Benchmark.ts"
import type { Chart } from "./chart.ts"
import { type Call, calls, families, type Family, type Relation } from "./watch.ts"

export interface Scale {
  readonly seconds: number
  readonly rate: number
  readonly every: number
  readonly pinAfter: number
  readonly retention: number
  readonly period: number
  readonly shelfPeriod: number
}

export interface Sample {
  readonly at: number
  readonly enqueued: number
  readonly completed: number
  readonly emptied: number
  readonly rewritten: number
  readonly waits: ReadonlyArray<number>
  readonly times: Record<Call, ReadonlyArray<number>>
  readonly families: ReadonlyArray<Family>
  readonly relations: ReadonlyArray<Relation>
}

export interface Run {
  readonly scale: Scale
  readonly samples: ReadonlyArray<Sample>
  readonly storage: ReadonlyArray<PieceState>
  /** Jobs that were not done a minute after the last was enqueued. */
  readonly left: number
}

const at = (values: ReadonlyArray<number>, share: number) => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}

const both = (values: ReadonlyArray<number>) => `${at(values, 0.5).toFixed(1)} / ${at(values, 0.99).toFixed(1)}`

const noise = 0.5 // megabytes; a table that is smaller is not worth writing anew, and may grow up to it

const megabytes = (bytes: number) => bytes / 2 ** 20

const ofFamily = (sample: Sample, name: string) => sample.families.find(({ family }) => family === name)!

const sum = (sample: Sample, value: "bytes" | "dead" | "pages") =>
  sample.families.reduce((all, one) => all + one[value], 0)

const allNames = [...families, "other"]

export const chartOf = ({ samples, scale }: Run): Chart => {
  const line = (name: string, of: (sample: Sample) => number) => ({ name, values: samples.map(of) })
  return {
    title: `${scale.rate} jobs a second for ${scale.seconds} s`,
    at: samples.map((sample) => sample.at),
    until: scale.seconds,
    pinnedAt: scale.pinAfter,
    panels: [
      {
        title: "milliseconds, 99th of 100",
        lines: [
          ...calls.map((call) => line(call, ({ times }) => at(times[call], 0.99))),
          line("pickup", ({ waits }) => at(waits, 0.99))
        ]
      },
      {
        title: "megabytes, with indexes",
        lines: allNames.map((name) => line(name, (sample) => megabytes(ofFamily(sample, name).bytes)))
      },
      {
        title: "thousands of dead rows",
        lines: allNames.map((name) => line(name, (sample) => ofFamily(sample, name).dead / 1_000))
      }
    ]
  }
}

/** What was measured between two moments: samples, and the one before them, for what is counted since the start. */
interface Quarter {
  readonly samples: ReadonlyArray<Sample>
  readonly before: Sample | undefined
}

interface Compared {
  readonly name: string
  readonly quarters: ReadonlyArray<number>
  /** Of the last quarter to the second. */
  readonly ratio: number
}

const mean = (values: ReadonlyArray<number>) => values.reduce((all, one) => all + one, 0) / Math.max(1, values.length)

/** What of the quarters is compared. A ratio is flat up to a fifth more. */
const compareQuarters = ({ samples, scale }: Run) => {
  const quarters = [1, 2, 3, 4].map((which): Quarter => {
    const begin = ((which - 1) * scale.seconds) / 4
    return {
      samples: samples.filter(({ at }) => at > begin && at <= begin + scale.seconds / 4),
      before: samples.findLast(({ at }) => at <= begin)
    }
  })

  /** Of a quarter, by what makes one number of it; below `least` two are alike. */
  const compare = (name: string, of: (quarter: Quarter) => number, least = 0): Compared => {
    const values = quarters.map(of)
    const [before, after] = [Math.max(values[1]!, least), Math.max(values[3]!, least)]
    return { name, quarters: values, ratio: before === 0 ? (after === 0 ? 1 : Infinity) : after / before }
  }
  const ofAll = (name: string, share: number, of: (sample: Sample) => ReadonlyArray<number>) =>
    compare(`${name}, p${share * 100} ms`, ({ samples }) => at(samples.flatMap(of), share))
  const timeOf = (call: Call, share: number) => ofAll(call, share, ({ times }) => times[call])
  const sizeOf = (name: string, of: (sample: Sample) => number) =>
    compare(`${name}, MB`, ({ samples }) => mean(samples.map((sample) => megabytes(of(sample)))), noise)
  /** What was counted, for each of something that happened. */
  const each = (name: string, of: (sample: Sample) => number, per: (quarter: Quarter) => number) =>
    compare(name, (quarter) => {
      const last = quarter.samples.at(-1)
      return last === undefined ? 0 : (of(last) - (quarter.before ? of(quarter.before) : 0)) / Math.max(1, per(quarter))
    })
  const callsOf = (call: Call) => (quarter: Quarter) =>
    quarter.samples.reduce((sum, { times }) => sum + times[call].length, 0)
  const completedIn = ({ before, samples }: Quarter) => (samples.at(-1)?.completed ?? 0) - (before?.completed ?? 0)

  const p99 = calls.map((call) => timeOf(call, 0.99))
  const total = sizeOf("all tables", (sample) => sum(sample, "bytes"))
  const sizes = allNames.map((name) => sizeOf(name, (sample) => ofFamily(sample, name).bytes))
  const relations = samples
    .at(-1)!
    .relations.map(({ isIndex, name }) =>
      sizeOf(
        isIndex ? `index ${name}` : name,
        (sample) => sample.relations.find((one) => one.isIndex === isIndex && one.name === name)?.bytes ?? 0
      )
    )
  return {
    times: [
      ...calls.flatMap((call, index) => [timeOf(call, 0.5), p99[index]!]),
      ...[0.5, 0.99].map((share) => ofAll("pickup", share, ({ waits }) => waits))
    ],
    reads: [
      each("ticket entries a claim", (sample) => ofFamily(sample, "ticket").visited, callsOf("claim")),
      each("timed entries a promote", (sample) => ofFamily(sample, "timed").visited, callsOf("promote")),
      each(
        "lease entries a beat, a claim and its outcomes",
        (sample) => ofFamily(sample, "lease").visited,
        callsOf("claim")
      ),
      each("pages a job, of all tables", (sample) => sum(sample, "pages"), completedIn),
      ...allNames.map((name) =>
        compare(`dead rows, ${name}`, ({ samples }) => mean(samples.map((one) => ofFamily(one, name).dead)))
      )
    ],
    sizes: [total, ...sizes],
    relations,
    promised: [...p99, total, ...sizes]
  }
}

const comparison = (title: string, compared: ReadonlyArray<Compared>): Table => ({
  title,
  columns: ["", "first", "second", "third", "last", "ratio", ""],
  rows: compared.map(({ name, quarters, ratio }) => [
    name,
    ...quarters.map((value) => figure([value])),
    ratio.toFixed(2),
    ratio <= 1.2 ? "flat" : "grows"
  ])
})

export const reportOf = (run: Run): Report => {
  const { left, samples, scale, storage } = run
  const { promised, reads, relations, sizes, times } = compareQuarters(run)
  /** What a sample adds to the one before, for each of something. */
  const each = (index: number, of: (sample: Sample) => number, count: number) => {
    const before = index === 0 ? 0 : of(samples[index - 1]!)
    return figure([(of(samples[index]!) - before) / Math.max(1, count)])
  }
  const cells = (of: (family: Family) => string) =>
    samples.map((sample) => [`${sample.at}`, ...sample.families.map(of)])
  const goal = ({ name, ratio }: { readonly name: string; readonly ratio: number }): Goal => ({
    goal: `last quarter to second, ${name}`,
    atMost: 1.2,
    found: figure([ratio])
  })
  return {
    facts: {
      driven: `${scale.rate} jobs a second for ${scale.seconds} s, in a call every 5 ms; 10 % delayed by 1 or 2 s, 10 % failing once, 10 % unique; one worker, concurrency 100, and the producer in one process`,
      storage: `retention ${scale.retention} s, slots of ${scale.period} s, shelves of ${scale.shelfPeriod} s; pinned from ${scale.pinAfter} s to the end`
    },
    tables: [
      {
        title: "by second: jobs, p50 / p99 ms of calls, and what the server read",
        columns: [
          "",
          "enqueued",
          "completed",
          "open",
          "emptied",
          "rewritten",
          "pickup",
          ...calls,
          "claims",
          "ticket entries a claim",
          "timed entries a promote",
          "pages a job"
        ],
        rows: samples.map((sample, index) => [
          `${sample.at}`,
          `${sample.enqueued}`,
          `${sample.completed}`,
          `${sample.enqueued - sample.completed}`,
          `${sample.emptied}`,
          `${sample.rewritten}`,
          both(sample.waits),
          ...calls.map((call) => both(sample.times[call])),
          `${sample.times.claim.length}`,
          each(index, (one) => ofFamily(one, "ticket").visited, sample.times.claim.length),
          each(index, (one) => ofFamily(one, "timed").visited, sample.times.promote.length),
          each(index, (one) => sum(one, "pages"), sample.completed - (samples[index - 1]?.completed ?? 0))
        ])
      },
      {
        title: "megabytes, and of them indexes",
        columns: ["", ...allNames],
        rows: cells(({ bytes, indexBytes }) => `${megabytes(bytes).toFixed(1)} / ${megabytes(indexBytes).toFixed(1)}`)
      },
      {
        title: "storage at the end, as its last look found it",
        columns: ["", "MB", "rows", "alive", "seconds ago", ""],
        rows: storage.map(({ bytes, current, looked, number, piece }) => [
          `${piece} ${number}${current ? ", current" : ""}`,
          megabytes(bytes).toFixed(1),
          ...Option.match(looked, {
            onNone: () => ["", "", "", ""],
            onSome: ({ age, alive, rows, why }) => [
              `${rows}`,
              `${alive}`,
              Duration.toSeconds(age).toFixed(0),
              Option.getOrElse(why, () => "")
            ]
          })
        ])
      },
      { title: "dead rows", columns: ["", ...allNames], rows: cells(({ dead }) => `${dead}`) },
      comparison("quarters: times", times),
      comparison("quarters: what was read, and means of dead rows", reads),
      comparison("quarters: means of sizes with indexes and TOAST", sizes),
      comparison("quarters: means of sizes, table by table and index by index", relations)
    ],
    goals: promised.map(goal).concat({ goal: "jobs left behind", atMost: 0, found: figure([left]) })
  }
}
