/**
 * Initialises, starts and stops one server process.
 *
 * Everything here waits on the operating system's clock, never on Effect's: a process takes its time under a TestClock too.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs/promises"
import { createServer } from "node:net"
import * as Path from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import type { Binaries } from "./Binaries.ts"
import type { Instance } from "./Instance.ts"
import * as ServerUser from "./ServerUser.ts"

export interface Server {
  readonly process: ChildProcess
  readonly port: number
}

export const initialise = async (
  binaries: Binaries,
  instance: Instance,
  user: ServerUser.ServerUser | undefined,
  password: string
) => {
  const secret = Path.join(instance.home, "password")
  await Fs.writeFile(secret, password, { mode: 0o600 })
  if (user !== undefined) await Fs.chown(secret, user.uid, user.gid)
  const result = await ServerUser.run(
    binaries.initdb,
    [
      `--pgdata=${instance.data}`,
      "--username=postgres",
      `--pwfile=${secret}`,
      "--auth=scram-sha-256",
      "--encoding=UTF8",
      "--locale=C",
      "--no-sync", // the data does not outlive the server
      "--no-instructions"
    ],
    user
  )
  await Fs.rm(secret)
  if (result.code !== 0) throw new Error(`PostgreSQL's initdb failed: ${complaint(result.output)}`)
}

export const start = async (
  binaries: Binaries,
  instance: Instance,
  user: ServerUser.ServerUser | undefined,
  settings: Readonly<Record<string, string>>,
  port?: number
): Promise<Server> => {
  const attempts = 5 // another process may take the free port between our look and the server's
  for (let attempt = 1; ; attempt++) {
    const server = await launch(binaries, instance, user, settings, port ?? (await freePort()))
    const failure = await untilReady(server, instance)
    if (failure === undefined) return server
    await stop(server)
    if (attempt === attempts || !failure.includes("could not bind")) {
      throw new Error(`PostgreSQL did not start: ${complaint(failure)}`)
    }
  }
}

const launch = async (
  binaries: Binaries,
  instance: Instance,
  user: ServerUser.ServerUser | undefined,
  settings: Readonly<Record<string, string>>,
  port: number
): Promise<Server> => {
  const given = { ...settings, listen_addresses: "127.0.0.1", unix_socket_directories: "", port: String(port) }
  const args = Object.entries(given).flatMap(([name, value]) => ["-c", `${name}=${value}`])
  const log = await Fs.open(logOf(instance), "w")
  try {
    const child = spawn(binaries.postgres, ["-D", instance.data, ...args], {
      ...user,
      cwd: "/",
      // A group of its own: the terminal's Ctrl-C must not stop the database under those who are still using it.
      detached: true,
      stdio: ["ignore", log.fd, log.fd]
    })
    await once(child, "spawn")
    return { process: child, port }
  } finally {
    await log.close()
  }
}

/** Answers undefined when connections are accepted, else what the server wrote before it gave up. */
const untilReady = async (server: Server, instance: Instance) => {
  const deadline = Date.now() + 60_000 // a slow disk recovers from nothing here; a minute is a server that hangs
  while (!hasEnded(server) && Date.now() < deadline) {
    const status = await Fs.readFile(Path.join(instance.data, "postmaster.pid"), "utf8").catch(() => "")
    if (status.split("\n")[7]?.trim() === "ready") return undefined
    await wait(10)
  }
  return (await Fs.readFile(logOf(instance), "utf8")).trim() || "it did not become ready within a minute"
}

/** Stops by fast shutdown, and by force when that takes too long; or at once, as if it had crashed. */
export const stop = async (server: Server, how: "fast" | "immediate" = "fast") => {
  for (const [signal, grace] of [
    ["SIGINT", 10_000],
    ["SIGQUIT", 5_000],
    ["SIGKILL", 5_000]
  ] as const) {
    if (hasEnded(server)) return
    if (how === "immediate" && signal === "SIGINT") continue
    const ended = once(server.process, "exit")
    server.process.kill(signal)
    const patience = new AbortController()
    await Promise.race([ended, wait(grace, undefined, { signal: patience.signal }).catch(() => undefined)])
    patience.abort()
  }
}

const hasEnded = ({ process }: Server) => process.exitCode !== null || process.signalCode !== null

const freePort = async () => {
  const probe = createServer().listen(0, "127.0.0.1")
  await once(probe, "listening")
  const address = probe.address()
  probe.close()
  await once(probe, "close")
  return typeof address === "object" && address !== null ? address.port : 0
}

const logOf = (instance: Instance) => Path.join(instance.home, "server.log")

/** The line a person would look for: the first that complains, else the last. */
const complaint = (text: string) => {
  const lines = text.trim().split("\n")
  return lines.find((line) => /FATAL|error|could not/.test(line)) ?? lines.at(-1)
}
