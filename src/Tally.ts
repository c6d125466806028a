/** Counts what a batch holds, with one update for all that say the same: a batch has few kinds. */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"

export class Tally {
  private readonly series = new Map<string, Metric.Counter<number>>()
  private readonly counter: Metric.Counter<number>
  private readonly labels: ReadonlyArray<string>

  constructor(counter: Metric.Counter<number>, labels: ReadonlyArray<string>) {
    this.counter = counter
    this.labels = labels
  }

  /** `valuesOf` gives what each label says of one, in their order. */
  count<One>(
    all: ReadonlyArray<One>,
    valuesOf: (one: One, index: number) => ReadonlyArray<string>
  ): Effect.Effect<void> {
    const counts = new Map<string, number>()
    for (const [index, one] of all.entries()) {
      const key = valuesOf(one, index).join("\0") // names have no NUL
      counts.set(key, (counts.get(key) ?? 0) + 1)
    }
    return Effect.map(Effect.context<never>(), (context) => {
      for (const [key, count] of counts) this.of(key).updateUnsafe(count, context)
    })
  }

  private of(key: string): Metric.Counter<number> {
    const known = this.series.get(key)
    if (known !== undefined) return known
    const values = key.split("\0")
    const made = Metric.withAttributes(
      this.counter,
      Object.fromEntries(this.labels.map((label, index) => [label, values[index]!]))
    )
    this.series.set(key, made)
    return made
  }
}
