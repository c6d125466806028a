/**
 * Keeps the folder of one running server, and sweeps the folders whose owner is dead.
 *
 * `postgres-<pid>-<random>/` in the chosen directory holds `owner.json` and usually the data. When the server's user
 * cannot enter that directory (a clone under /root) the data is in the temporary folder and `owner.json` says where.
 * The sweep removes only what a process of this host wrote that certainly is gone: ids are reused, so an owner is its
 * process id and its start time.
 */
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import { setTimeout as wait } from "node:timers/promises"
import * as ServerUser from "./ServerUser.ts"

export interface Instance {
  /** The folder with `owner.json`. */
  readonly record: string
  /** The folder the server's user can enter: the record's own, or one in the temporary folder. */
  readonly home: string
  readonly data: string
}

interface Owner {
  readonly host: string
  readonly pid: number
  readonly started: string
  readonly home: string
}

/** Says when a living process began. Without /proc one process is as good as another of the same id. */
export const startOf = async (pid: number): Promise<string | undefined> => {
  const stat = await Fs.readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined)
  if (stat === undefined) return isAlive(pid) ? "unknown" : undefined
  // The second field may hold spaces and parentheses, so the rest is counted from the last ")": state, …, start time.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return fields[0] === "Z" ? undefined : fields[19] // Z: dead, and nobody has asked how it ended
}

const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"
  }
}

const discard = (folder: string) => Fs.rm(folder, { recursive: true, force: true, maxRetries: 5 })

export const create = async (directory: string, user: ServerUser.ServerUser | undefined): Promise<Instance> => {
  const name = `postgres-${process.pid}-${randomBytes(4).toString("hex")}`
  const record = Path.join(directory, name)
  let home = record
  await Fs.mkdir(record, { recursive: true })
  try {
    if (user !== undefined && !(await ServerUser.canEnter(record, user))) {
      home = Path.join(Os.tmpdir(), `lanekeeper-${name}`)
    }
    const owner: Owner = { host: Os.hostname(), pid: process.pid, started: (await startOf(process.pid))!, home }
    // Before the folder elsewhere exists, so that no crash leaves one that nobody knows of.
    await Fs.writeFile(Path.join(record, "owner.json"), JSON.stringify(owner))
    if (home !== record) await Fs.mkdir(home, { mode: 0o755 })
    const data = Path.join(home, "data")
    await Fs.mkdir(data, { mode: 0o700 })
    if (user !== undefined) await Fs.chown(data, user.uid, user.gid)
    return { record, home, data }
  } catch (error) {
    if (home !== record) await discard(home)
    await discard(record)
    throw error
  }
}

export const remove = async (instance: Instance) => {
  if (instance.home !== instance.record) await discard(instance.home)
  await discard(instance.record)
}

/** Stops the servers of dead owners and removes their folders. Two sweeps at once do each other no harm. */
export const sweep = async (directory: string) => {
  const names = await Fs.readdir(directory).catch(() => [])
  for (const name of names) {
    if (!/^postgres-\d+-[0-9a-f]{8}$/.test(name)) continue
    // What another user left behind is theirs to sweep and must not keep us from starting.
    await sweepOne(directory, name).catch(() => undefined)
  }
}

const sweepOne = async (directory: string, name: string) => {
  const record = Path.join(directory, name)
  const owner = await readOwner(record)
  if (owner === undefined || owner.host !== Os.hostname() || (await startOf(owner.pid)) === owner.started) return
  const home = owner.home === record ? record : Path.join(Os.tmpdir(), `lanekeeper-${name}`)
  await stopOrphan(Path.join(home, "data"))
  await remove({ record, home, data: Path.join(home, "data") })
}

const readOwner = async (record: string): Promise<Owner | undefined> => {
  try {
    return JSON.parse(await Fs.readFile(Path.join(record, "owner.json"), "utf8"))
  } catch {
    // No owner yet, or never: its maker is at this very line, or died there. An hour tells them apart.
    const made = await Fs.stat(record).catch(() => undefined)
    return made !== undefined && Date.now() - made.mtimeMs > 3_600_000
      ? { host: Os.hostname(), pid: 0, started: "never", home: record }
      : undefined
  }
}

/** SIGQUIT ends a server at once and without a last checkpoint: the data is about to be removed. */
const stopOrphan = async (data: string) => {
  const pid = Number((await Fs.readFile(Path.join(data, "postmaster.pid"), "utf8").catch(() => "")).split("\n")[0])
  if (pid === 0) return
  for (const signal of ["SIGQUIT", "SIGKILL"] as const) {
    const deadline = Date.now() + 5_000
    while ((await serves(pid, data)) && Date.now() < deadline) {
      process.kill(pid, signal)
      await wait(20)
    }
  }
}

/** A stale postmaster.pid may name a stranger: only a process whose command line names this data folder is our server. */
const serves = async (pid: number, data: string) => {
  const command = await Fs.readFile(`/proc/${pid}/cmdline`, "utf8").catch(
    async () => (await ServerUser.run("ps", ["-o", "command=", "-p", String(pid)], undefined)).output
  )
  return command.includes(data)
}
