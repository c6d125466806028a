/** Carries out a Dockerfile's steps in folders instead of images: what was not copied is not there. */
import * as Effect from "effect/Effect"
import { globSync } from "node:fs"
import * as Fs from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { run } from "./processes.ts"

interface Step {
  readonly word: string
  readonly rest: string
}

const stepsOf = (text: string): ReadonlyArray<Step> =>
  text
    .split("\n")
    .filter((line) => !line.startsWith("#"))
    .join("\n")
    .replaceAll("\\\n", " ")
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const [, word = "", rest = ""] = /^(\S+)\s+(.*)$/.exec(line.trim()) ?? []
      return { word, rest }
    })

export interface Image {
  /** Of each stage: what it stands on. */
  readonly bases: ReadonlyArray<string>
  readonly entry: ReadonlyArray<string>
  readonly workdir: string
  readonly env: Readonly<Record<string, string>>
}

export interface Options {
  readonly dockerfile: string
  /** What is sent to the builder. */
  readonly context: string
  /** Where stages are laid out. */
  readonly folder: string
  /** Where the programs of the base image are. */
  readonly path: string
}

export const build = Effect.fnUntraced(function* ({ context, dockerfile, folder, path }: Options) {
  const stages = new Map<string, string>()
  const bases: Array<string> = []
  const env: Record<string, string> = {}
  let root = ""
  let workdir = ""
  let entry: ReadonlyArray<string> = []
  let command: ReadonlyArray<string> = []
  /** In the stage, where a step says it is at the top of the file system. */
  const within = (stage: string, place: string) => (place.startsWith("/") ? join(stage, place) : join(workdir, place))

  for (const { rest, word } of stepsOf(yield* Effect.promise(() => Fs.readFile(dockerfile, "utf8")))) {
    switch (word) {
      case "FROM": {
        const [base = "", , name = `${bases.length}`] = rest.split(/\s+/)
        bases.push(base)
        root = join(folder, name)
        stages.set(name, root)
        yield* Effect.promise(() => Fs.mkdir(join(root, "tmp"), { recursive: true }))
        break
      }
      case "WORKDIR":
        workdir = join(root, rest)
        yield* Effect.promise(() => Fs.mkdir(workdir, { recursive: true }))
        break
      case "ENV":
        Object.assign(env, Object.fromEntries([rest.split("=")]))
        break
      case "COPY": {
        const words = rest.split(/\s+/)
        const from = words[0]?.startsWith("--from=") === true ? stages.get(words.shift()!.slice(7)) : undefined
        const to = within(root, words.pop()!)
        for (const pattern of words) {
          const sources = globSync(from === undefined ? join(context, pattern) : join(from, pattern))
          if (sources.length === 0) return yield* Effect.die(new Error(`COPY: there is no ${pattern}`))
          const isFolder = rest.endsWith("/")
          for (const source of sources) {
            const target = isFolder ? join(to, basename(source)) : to
            yield* Effect.promise(() => Fs.mkdir(dirname(target), { recursive: true }))
            yield* Effect.promise(() => Fs.cp(source, target, { recursive: true }))
          }
        }
        break
      }
      case "RUN": {
        const placed = rest.replaceAll(/(?<=^|[\s'"])\/(?=tmp(?:\/|\s|$))/g, `${root}/`)
        const { code, stderr, stdout } = yield* run("/bin/sh", ["-c", placed], {
          cwd: workdir,
          env: { ...env, PATH: path }
        })
        if (code !== 0) return yield* Effect.die(new Error(`RUN ${rest}: ${stdout}${stderr}`))
        break
      }
      case "ENTRYPOINT":
        entry = JSON.parse(rest)
        break
      case "CMD":
        command = JSON.parse(rest)
        break
    }
  }
  return { bases, entry: [...entry, ...command], workdir, env } satisfies Image
})
