/** Makes of the samples of a run its tables, what of them is to be flat, and the chart. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { PieceState } from "../../../src/store/Upkeep.ts"
import { figure, type Goal, type Report } from "../Benchmark.ts"
import type { Chart } from "./chart.ts"
import { type Call, calls, families, type Family } from "./watch.ts"

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

/** What of the second quarter and the last is compared. A ratio is flat up to a fifth more. */
const compareQuarters = ({ samples, scale }: Run) => {
  const quarter = (which: number) => {
    const end = (which * scale.seconds) / 4
    return samples.filter((sample) => sample.at > end - scale.seconds / 4 && sample.at <= end)
  }
  const [second, last] = [quarter(2), quarter(4)]

  /** Of a quarter, by what makes one number of it. */
  const compare = (name: string, of: (samples: ReadonlyArray<Sample>) => number) => {
    const [before, after] = [of(second), of(last)]
    return { name, before, after, ratio: before === 0 ? (after === 0 ? 1 : Infinity) : after / before }
  }
  const timeOf = (call: Call, share: number) =>
    compare(`${call}, p${share * 100} ms`, (some) =>
      at(
        some.flatMap(({ times }) => times[call]),
        share
      )
    )
  const middle = (name: string, of: (sample: Sample) => number) => compare(name, (some) => figure(some.map(of)).median)
  const p99 = calls.map((call) => timeOf(call, 0.99))
  const sizes = allNames.map((name) => middle(`${name}, MB`, (sample) => megabytes(ofFamily(sample, name).bytes)))
  const total = middle("all tables, MB", (sample) => megabytes(sum(sample, "bytes")))
  const compared = [
    ...calls.flatMap((call, index) => [timeOf(call, 0.5), p99[index]!]),
    compare("pickup, p99 ms", (some) =>
      at(
        some.flatMap(({ waits }) => waits),
        0.99
      )
    ),
    total,
    ...sizes,
    middle("dead rows", (sample) => sum(sample, "dead"))
  ]

  return { compared, promised: [...p99, total, ...sizes] }
}

export const reportOf = (run: Run): Report => {
  const { left, samples, scale, storage } = run
  const { compared, promised } = compareQuarters(run)
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
      {
        title: "quarters; sizes and dead rows by their median",
        columns: ["", "second", "last", "ratio", ""],
        rows: compared.map(({ after, before, name, ratio }) => [
          name,
          figure([before]),
          figure([after]),
          ratio.toFixed(2),
          ratio <= 1.2 ? "flat" : "grows"
        ])
      }
    ],
    goals: promised.map(goal).concat({ goal: "jobs left behind", atMost: 0, found: figure([left]) })
  }
}
