/** A lane is a file of its own and an entry in the list, and nothing else knows it by name. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readdirSync, readFileSync } from "node:fs"
import { lanes } from "../../src/lanes/index.ts"
import { classes, type Lane } from "../../src/lanes/Lane.ts"

const folder = new URL("../../src/lanes/", import.meta.url)

const isLane = (value: unknown): value is Lane =>
  typeof value === "object" && value !== null && "body" in value && "interval" in value

/** What each file of the folder exports that is a lane, by file. */
const exported = Effect.promise(async () => {
  const files = readdirSync(folder).filter((file) => /^[a-z]\w*\.ts$/.test(file) && file !== "index.ts")
  const modules = await Promise.all(files.map((file) => import(new URL(file, folder).href)))
  return new Map(files.map((file, index) => [file.slice(0, -3), Object.values(modules[index]).filter(isLane)]))
})

const fileOf = (name: string) => name.replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase())

describe("The list of lanes", () => {
  it.effect("has every lane of the folder, each in a file of its own that is named after it [LK-B11]", () =>
    Effect.gen(function* () {
      const files = yield* exported
      for (const lane of lanes) assert.include(files.get(fileOf(lane.name)) ?? [], lane, lane.name)
      for (const [file, found] of files) {
        for (const { name } of found) assert.strictEqual(fileOf(name), file)
        if (found.length > 0)
          assert.isTrue(
            found.some((lane) => lanes.includes(lane)),
            `${file} is not in the list`
          )
      }
    })
  )

  it("knows each lane by one name, and in the order of their classes", () => {
    const names = lanes.map(({ name }) => name)
    assert.deepStrictEqual([...new Set(names)], names)
    const order = lanes.map((lane) => classes.indexOf(lane.class))
    assert.deepStrictEqual(
      order,
      order.toSorted((a, b) => a - b)
    )
  })

  it("is all there is to change: what runs lanes names none of them [LK-B11]", () => {
    for (const file of ["Lane", "measure", "tick", "recover"]) {
      const text = readFileSync(new URL(`${file}.ts`, folder), "utf8")
      for (const { name } of lanes) assert.notInclude(text, `"${name}"`, file)
    }
  })
})
