/** Shows what happens: on a terminal as a picture that is drawn over, elsewhere as a line now and then. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { rounded } from "../../texts.ts"
import { oneLine } from "../table.ts"
import { line, type Naming, screen, type Seen } from "./show.ts"

const linesKept = 6

const margin = " ".repeat(6)

/** By words, and anywhere where one is too long: a line that the terminal wraps would be counted as one. */
export const wrapped = (text: string, width: number): ReadonlyArray<string> => {
  if (text.length <= width) return [text]
  const space = text.lastIndexOf(" ", width)
  const end = space > margin.length ? space : width
  return [text.slice(0, end), ...wrapped(margin + text.slice(end).trimStart(), width)]
}

/** The picture above what was said, as much of it as the terminal has room for. */
export const fitted = (
  picture: ReadonlyArray<string>,
  said: ReadonlyArray<string>,
  { columns = 80, rows = 24 }: { readonly columns?: number; readonly rows?: number }
): ReadonlyArray<string> => {
  const below = said.flatMap((one) => wrapped(one, columns)).slice(-Math.max(2, Math.floor(rows / 3)))
  const above = picture.map((one) => one.slice(0, columns)).slice(0, Math.max(1, rows - below.length - 2))
  return [...above, "", ...below]
}

export const makeStageView = Effect.fnUntraced(function* (quiet: boolean) {
  const began = yield* Clock.currentTimeMillis
  const draws = !quiet && process.stdout.isTTY === true
  const said: Array<string> = []
  const kept: Array<string> = []
  let drawn = 0

  const elapsed = Effect.map(Clock.currentTimeMillis, (now) => {
    const seconds = Math.floor((now - began) / 1_000)
    return seconds === 0 ? "0s" : rounded(Duration.seconds(seconds))
  })

  const write = (text: string) => Effect.sync(() => void (quiet ? process.stderr : process.stdout).write(`${text}\n`))

  const draw = (picture: string) =>
    Effect.sync(() => {
      const lines = fitted(picture.split("\n"), said, process.stdout)
      process.stdout.write(`${drawn === 0 ? "" : `\u001b[${drawn}A`}\u001b[J${lines.join("\n")}\n`)
      drawn = lines.length
    })

  const say = Effect.fnUntraced(function* (text: string) {
    const stamped = `${(yield* elapsed).padStart(4)}  ${oneLine(text)}`
    if (!draws) return yield* write(stamped)
    said.push(stamped)
    said.splice(0, said.length - linesKept)
  })

  return {
    /** How often it is worth looking. */
    every: draws ? Duration.millis(500) : Duration.seconds(2),
    /** Something happened. */
    say,
    /** Something holds for as long as it runs. */
    keep: (text: string) => (draws ? Effect.sync(() => void kept.push(text)) : say(text)),
    show: (seen: Seen, naming: Naming) =>
      Effect.gen(function* () {
        const since = yield* elapsed
        if (!draws) return yield* write(`${since.padStart(4)}  ${line(seen, naming)}`)
        yield* draw([`lanekeeper dev, ${since}; Ctrl-C ends it`, ...kept, "", screen(seen, naming)].join("\n"))
      })
  }
})
