/** Counts what a batch holds, with one update for each run of those that say the same: most of a batch do. */
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
    return Effect.map(Effect.context<never>(), (context) => {
      for (let from = 0, to = 0; from < all.length; from = to) {
        const values = valuesOf(all[from]!, from)
        for (to = from + 1; to < all.length && areSame(valuesOf(all[to]!, to), values);) to++
        this.of(values).updateUnsafe(to - from, context)
      }
    })
  }

  private of(values: ReadonlyArray<string>): Metric.Counter<number> {
    const key = values.join("\0") // names have no NUL
    const known = this.series.get(key)
    if (known !== undefined) return known
    const made = Metric.withAttributes(
      this.counter,
      Object.fromEntries(this.labels.map((label, index) => [label, values[index]!]))
    )
    this.series.set(key, made)
    return made
  }
}

const areSame = (values: ReadonlyArray<string>, others: ReadonlyArray<string>) =>
  values.every((value, index) => value === others[index])
