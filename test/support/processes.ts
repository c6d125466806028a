/** Runs real processes for tests, waits for what they say, and ends them with the scope. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { spawn, type SpawnOptions } from "node:child_process"
import { accessSync, constants } from "node:fs"
import { delimiter, join, resolve } from "node:path"

export const root = resolve(import.meta.dirname, "../..")

/** The entry as users start it. `scripts/test` has built it. */
export const main = join(root, "dist/main.js")

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly pid: number
  readonly ended: Effect.Effect<Ended>
  /** What the process has written so far. */
  readonly said: Effect.Effect<string>
  /** Succeeds when the process has written the text, dies when it ends without. */
  readonly says: (text: string) => Effect.Effect<string>
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
}

interface Options extends Pick<SpawnOptions, "cwd" | "uid" | "gid"> {
  /** Added to this process's environment; undefined removes. */
  readonly env?: Readonly<Record<string, string | undefined>>
}

export const start = (
  command: string,
  args: ReadonlyArray<string>,
  options: Options = {}
): Effect.Effect<Running, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const env = { ...process.env, DATABASE_URL: undefined, NODE_OPTIONS: undefined, ...options.env }
      const child = spawn(command, args, { ...options, env, stdio: ["ignore", "pipe", "pipe"] })
      let stdout = ""
      let stderr = ""
      child.stdout.on("data", (chunk) => (stdout += chunk))
      child.stderr.on("data", (chunk) => (stderr += chunk))
      const ended = new Promise<Ended>((resolve, reject) => {
        child.on("error", reject)
        child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }))
      })
      ended.catch(() => undefined) // a failed start is told to whoever waits
      const says = (text: string) =>
        Effect.promise(
          () =>
            new Promise<string>((resolve, reject) => {
              const look = () => stdout.includes(text) && resolve(stdout)
              child.stdout.on("data", look)
              child.on("close", () => reject(new Error(`ended without saying "${text}": ${stdout}${stderr}`)))
              look()
            })
        )
      return {
        child,
        pid: child.pid ?? 0,
        ended: Effect.promise(() => ended),
        said: Effect.sync(() => stdout),
        says,
        signal: (signal: NodeJS.Signals) => Effect.sync(() => child.kill(signal))
      }
    }),
    ({ child, ended }) =>
      Effect.andThen(
        Effect.sync(() => child.kill("SIGKILL")),
        Effect.ignoreCause(ended)
      )
  )

export const run = (command: string, args: ReadonlyArray<string>, options: Options = {}) =>
  Effect.scoped(Effect.flatMap(start(command, args, options), (running) => running.ended))

/** The first program of that name on PATH that `fits`. */
export const findOnPath = (name: string, fits: (path: string) => boolean = () => true): string | undefined =>
  (process.env["PATH"] ?? "")
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find((path) => isExecutable(path) && fits(path))

const isExecutable = (path: string) => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
