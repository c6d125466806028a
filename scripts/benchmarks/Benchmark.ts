/** What a benchmark is, what it reports, and how that is printed. */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export interface Benchmark {
  readonly name: string
  /** One line for the list. */
  readonly about: string
  readonly run: (options: RunOptions) => Effect.Effect<Report, unknown, Scope.Scope>
}

/** Whoever can do nothing with one leaves it. */
export interface RunOptions {
  readonly short: boolean
  readonly seconds?: number | undefined
  /** Jobs a second. */
  readonly rate?: number | undefined
  /** The file to draw in. */
  readonly svg?: string | undefined
}

export interface Report {
  /** Machine, server, and what was driven how. */
  readonly facts: Readonly<Record<string, string>>
  readonly tables: ReadonlyArray<Table>
  readonly goals: ReadonlyArray<Goal>
}

export interface Table {
  readonly title: string
  readonly columns: ReadonlyArray<string>
  readonly rows: ReadonlyArray<ReadonlyArray<string | Figure>>
}

export interface Goal {
  readonly goal: string
  readonly atLeast?: number
  readonly atMost?: number
  readonly found: Figure
}

/** What several rounds measured. */
export interface Figure {
  readonly median: number
  readonly least: number
  readonly most: number
}

export const figure = (values: ReadonlyArray<number>): Figure => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  const median = (sorted[Math.floor(middle - 0.5)]! + sorted[Math.floor(middle)]!) / 2
  return { median, least: sorted[0]!, most: sorted.at(-1)! }
}

const short = (value: number) => {
  if (value >= 100_000) return `${Math.round(value / 1_000)}k`
  if (value >= 10_000) return `${(value / 1_000).toFixed(1)}k`
  return value >= 99.5 ? String(Math.round(value)) : value.toPrecision(2).replace(/\.0$/, "")
}

const written = (cell: string | Figure) =>
  typeof cell === "string"
    ? cell
    : cell.least === cell.most
      ? short(cell.median)
      : `${short(cell.median)} (${short(cell.least)}–${short(cell.most)})`

const printTable = ({ columns, rows, title }: Table) => {
  const lines = [columns, ...rows.map((row) => row.map(written))]
  const widths = columns.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)))
  const line = (cells: ReadonlyArray<string>) => cells.map((cell, column) => cell.padEnd(widths[column]!)).join("  ")
  return [title, ...lines.map((cells) => `  ${line(cells)}`.trimEnd())].join("\n")
}

/** Figures are the median of the rounds, with the least and the most of them. */
export const print = ({ facts, goals, tables }: Report) =>
  [
    Object.entries(facts)
      .map(([name, value]) => `${name}: ${value}`)
      .join("\n"),
    ...tables.map(printTable),
    goals
      .map(({ atLeast = 0, atMost = Infinity, found, goal }) => {
        const met = found.median >= atLeast && found.median <= atMost
        const wanted = atMost === Infinity ? `${atLeast}` : `at most ${atMost}`
        return `${met ? "met   " : "MISSED"}  ${goal}: ${written(found)}, wanted ${wanted}`
      })
      .join("\n")
  ].join("\n\n")
