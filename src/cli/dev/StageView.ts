/** Shows what happens: on a terminal as a picture that is drawn over, elsewhere as a line now and then. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { rounded } from "../../texts.ts"
import { oneLine } from "../table.ts"
import { line, type Naming, screen, type Seen } from "./show.ts"

const linesKept = 6

export const makeStageView = Effect.fnUntraced(function* (quiet: boolean) {
  const began = yield* Clock.currentTimeMillis
  const draws = !quiet && process.stdout.isTTY === true
  const said: Array<string> = []
  let drawn = 0

  const elapsed = Effect.map(Clock.currentTimeMillis, (now) => Duration.seconds(Math.floor((now - began) / 1_000)))

  const write = (text: string) => Effect.sync(() => void (quiet ? process.stderr : process.stdout).write(`${text}\n`))

  const draw = (picture: string) =>
    Effect.sync(() => {
      const width = process.stdout.columns
      const lines = picture.split("\n").map((one) => one.slice(0, width)) // a line that wraps would be counted as one
      process.stdout.write(`${drawn === 0 ? "" : `\u001b[${drawn}A`}\u001b[J${lines.join("\n")}\n`)
      drawn = lines.length
    })

  return {
    /** How often it is worth looking. */
    every: draws ? Duration.millis(500) : Duration.seconds(2),
    /** Something happened. */
    say: (text: string) =>
      Effect.gen(function* () {
        const stamped = `${rounded(yield* elapsed).padStart(4)}  ${oneLine(text)}`
        said.push(stamped)
        said.splice(0, said.length - linesKept)
        if (!draws) yield* write(stamped)
      }),
    show: (seen: Seen, naming: Naming) =>
      Effect.gen(function* () {
        const since = rounded(yield* elapsed)
        if (!draws) return yield* write(`${since.padStart(4)}  ${line(seen, naming)}`)
        yield* draw([`lanekeeper dev, ${since}; Ctrl-C ends it`, "", screen(seen, naming), "", ...said].join("\n"))
      })
  }
})
