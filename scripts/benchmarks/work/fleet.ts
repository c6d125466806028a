/** Starts the worker processes of a contender, and adds up what they say. */
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import { value } from "effect/Redacted"
import { type ChildProcess, fork } from "node:child_process"
import { join } from "node:path"
import type { Contender } from "./Contender.ts"
import type { ToParent } from "./process.ts"

export interface FleetOptions {
  readonly contender: Contender
  readonly url: Redacted.Redacted<string>
  readonly processes: number
  readonly concurrency: number
  /** Asks them when each job began. */
  readonly onStart?: ((n: number, at: number) => void) | undefined
}

export const startFleet = Effect.fnUntraced(function* (options: FleetOptions) {
  const last = new Map<ChildProcess, ToParent>()
  const onStart = options.onStart
  const total = () => [...last.values()].reduce((sum, { ran }) => sum + ran, 0)
  const micros = () => [...last.values()].reduce((sum, one) => sum + one.micros, 0)
  let failed: string | undefined
  let look = () => {}

  for (let index = 0; index < options.processes; index++) {
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const args = [value(options.url), options.contender.name, `${options.concurrency}`]
        const child = fork(join(import.meta.dirname, "process.ts"), onStart === undefined ? args : [...args, "times"])
        child.on("message", (message: ToParent) => {
          last.set(child, message)
          for (let at = 0; at < message.starts.length; at += 2) onStart?.(message.starts[at]!, message.starts[at + 1]!)
          look()
        })
        child.on("exit", (code) => {
          failed = `a worker of ${options.contender.name} ended with ${code}`
          look()
        })
        return child
      }),
      (child) =>
        Effect.promise(
          () =>
            new Promise<void>((resolve) => {
              if (child.exitCode !== null || child.signalCode !== null) return resolve()
              child.once("exit", () => resolve())
              child.kill("SIGKILL") // its database is dropped
            })
        )
    )
  }

  return {
    total,
    micros,
    /** Waits until so many have run in all. */
    until: (jobs: number) =>
      Effect.callback<void>((resume) => {
        look = () => {
          if (failed !== undefined) resume(Effect.die(failed))
          else if (total() >= jobs) resume(Effect.void)
        }
        look()
      })
  }
})
