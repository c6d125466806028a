/**
 * Adds to package-lock.json the packages for other platforms that npm left out. `npm install` omits an optional package
 * its registry does not carry, and `npm ci` then refuses the lock everywhere. Run it after every `npm install`; an entry
 * says no more than which platform it is for, so npm skips it elsewhere without asking the registry.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { pathToFileURL } from "node:url"

interface Entry {
  readonly version: string
  readonly dev?: boolean
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

type Packages = Record<string, Entry>

const systems = ["android", "darwin", "freebsd", "linux", "openharmony", "win32"]
const processors = ["arm", "arm64", "ia32", "ppc64", "riscv64", "s390x", "x64"]

/** The optional packages that a lock asks for and does not list. */
export const missing = (packages: Packages) =>
  Object.entries(packages).flatMap(([owner, { dev, optionalDependencies = {} }]) =>
    Object.entries(optionalDependencies)
      .filter(([name]) => !(`node_modules/${name}` in packages) && !(`${owner}/node_modules/${name}` in packages))
      .map(([name, version]) => ({ name, version, dev }))
  )

const entryOf = (name: string, version: string, dev: boolean | undefined) => {
  const words = name.split(/[-/]/)
  const libc = words.includes("musl") ? { libc: ["musl"] } : words.includes("gnu") ? { libc: ["glibc"] } : {}
  return {
    version: version.replace("^", ""),
    cpu: words.filter((word) => processors.includes(word)),
    ...(dev ? { dev } : {}),
    ...libc,
    optional: true,
    os: words.filter((word) => systems.includes(word))
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const lock = JSON.parse(readFileSync("package-lock.json", "utf8"))
  for (const { dev, name, version } of missing(lock.packages)) {
    lock.packages[`node_modules/${name}`] = entryOf(name, version, dev)
  }
  lock.packages = Object.fromEntries(Object.entries(lock.packages).toSorted(([a], [b]) => (a < b ? -1 : 1)))
  writeFileSync("package-lock.json", `${JSON.stringify(lock, undefined, 2)}\n`)
}
