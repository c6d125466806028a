/**
 * Finds whom the server runs as. PostgreSQL refuses to run as root, so root hands it to an unprivileged user that
 * already exists; anyone else runs it themselves. No user is ever created.
 */
import { spawn } from "node:child_process"
import * as Fs from "node:fs/promises"

export interface ServerUser {
  readonly uid: number
  readonly gid: number
}

/** Answers undefined when this process is not root: the server then runs as whoever started it. */
export const find = async (): Promise<ServerUser | undefined> => {
  if (process.getuid?.() !== 0) return undefined
  const accounts = (await Fs.readFile("/etc/passwd", "utf8")).split("\n").map((line) => line.split(":"))
  for (const name of ["postgres", "nobody"]) {
    const [, , uid, gid] = accounts.find((account) => account[0] === name) ?? []
    if (Number(uid) > 0) return { uid: Number(uid), gid: Number(gid) }
  }
  throw new Error(
    "PostgreSQL does not run as root and there is no user postgres or nobody to run it: start as an ordinary user, or set DATABASE_URL"
  )
}

/** Runs a command as the server's user and answers its exit code and output; a command that cannot be executed answers 126. */
export const run = (command: string, args: ReadonlyArray<string>, user: ServerUser | undefined) =>
  new Promise<{ readonly code: number; readonly output: string }>((resolve) => {
    // node:child_process and not effect/process/ChildProcess, which has no uid and gid.
    // "/" because the current directory may be one that the server's user cannot enter.
    const child = spawn(command, args, { ...user, cwd: "/", stdio: ["ignore", "pipe", "pipe"] })
    let output = ""
    child.stdout.on("data", (chunk) => (output += chunk))
    child.stderr.on("data", (chunk) => (output += chunk))
    child.on("error", (error) => resolve({ code: 126, output: error.message }))
    child.on("close", (code) => resolve({ code: code ?? 1, output }))
  })

/** Asks the kernel, not the mode bits: access control lists and mount options count too. */
export const canEnter = async (directory: string, user: ServerUser) =>
  (await run("/bin/sh", ["-c", 'cd -- "$1"', "sh", directory], user)).code === 0
