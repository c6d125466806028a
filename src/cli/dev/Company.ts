/**
 * The processes `dev` starts: each ends with the scope, told first and waited for, and by itself when `dev` is killed
 * (`endWithOwner`). They are in groups of their own, so that a Ctrl-C reaches `dev` alone, which stops them in order.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

/** A process ended that nobody had told to. */
export class ProcessEnded extends Schema.TaggedError<ProcessEnded>()("ProcessEnded", {
  name: Schema.String,
  how: Schema.String,
  last: Schema.String
}) {
  override get message() {
    return `The process of ${this.name} ended by itself (${this.how}): ${this.last}`
  }
}

export interface Member {
  readonly name: string
  readonly pid: number
  readonly kill: Effect.Effect<void>
  /** Fails when it ends by itself. */
  readonly unexpected: Effect.Effect<never, ProcessEnded>
}

const main = fileURLToPath(new URL("../../main.js", import.meta.url))

const linesKept = 20 // of its log, for the case that it ends by itself

export const start = (
  name: string,
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>>,
  onLine: (line: string) => void = () => undefined
): Effect.Effect<Member, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => watch(name, spawnDetached(args, env), onLine)),
      ({ child, ended }) =>
        Effect.promise(() => {
          child.kill("SIGTERM")
          return ended
        })
    ),
    ({ child, ended, log, told }): Member => ({
      name,
      pid: child.pid ?? 0,
      kill: Effect.promise(() => {
        told.killed = true
        child.kill("SIGKILL")
        return ended
      }),
      unexpected: Effect.flatMap(
        Effect.promise(() => ended),
        (how) =>
          told.killed
            ? Effect.never
            : Effect.fail(new ProcessEnded({ name, how, last: log.at(-1) ?? "it said nothing" }))
      )
    })
  )

const spawnDetached = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>>) =>
  spawn(process.execPath, [main, ...args], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    env: { ...process.env, ...env, LANEKEEPER_OWNED: "1" }
  })

const watch = (name: string, child: ChildProcess, onLine: (line: string) => void) => {
  const log: Array<string> = []
  const keep = (line: string) => {
    log.push(line)
    log.splice(0, log.length - linesKept)
    onLine(line)
  }
  for (const input of [child.stdout!, child.stderr!]) createInterface({ input }).on("line", keep)
  const ended = new Promise<string>((resolve) => {
    child.on("error", (error) => resolve(error.message))
    child.on("close", (code, signal) => resolve(signal ?? `exit code ${code}`))
  })
  return { name, child, ended, log, told: { killed: false } }
}
