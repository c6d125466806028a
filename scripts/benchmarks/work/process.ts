/** A worker of a contender: a process that says over IPC what it ran and what CPU that took. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import { contenders } from "./contenders.ts"

export type ToParent = { readonly ran: number; readonly micros: number; readonly starts: ReadonlyArray<number> }

const [url = "", name = "", concurrency = "", withTimes = ""] = process.argv.slice(2)
const told = 10 // milliseconds

let count = 0
/** Number and time by turns, of jobs that began since the parent was told last. */
let starts: Array<number> = []
const ran =
  withTimes === ""
    ? () => void count++
    : (n: number) => {
        count++
        starts.push(n, performance.timeOrigin + performance.now())
      }

let sent = -1
const tell = () => {
  if (count === sent) return
  sent = count
  const { system, user } = process.cpuUsage()
  process.send?.({ ran: count, micros: user + system, starts } satisfies ToParent)
  starts = []
}
setInterval(tell, told)
process.on("disconnect", () => process.exit(0))

contenders
  .find((contender) => contender.name === name)!
  .work({ concurrency: Number(concurrency), ran })
  .pipe(
    Effect.scoped,
    Effect.provide([PgClient.layer({ url: Redacted.make(url), maxConnections: 4 }), Logger.layer([])]),
    NodeRuntime.runMain
  )
