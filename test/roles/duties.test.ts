/** The table of roles is what the code has: a role that is added says what it does, in all three places. */
import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { lanekeeper } from "../../src/cli/commands.ts"
import * as Lanekeeper from "../../src/Lanekeeper.ts"
import { duties, rows } from "../../src/roles/duties.ts"
import { root } from "../support/processes.ts"

const notRoles = ["Runtime", "ground", "duties"]

/** Files of roles, and the client, which is a service and no more. */
const files = readdirSync(join(root, "src/roles"))
  .map((file) => file.replace(".ts", ""))
  .filter((file) => !notRoles.includes(file))

const sourceOf = (role: string) =>
  readFileSync(join(root, role === "client" ? "src/Client.ts" : `src/roles/${role}.ts`), "utf8")

const readme = () => {
  const [, rest = ""] = readFileSync(join(root, "README.md"), "utf8").split("\n| role | enqueues and reads |")
  const [head = "", , ...lines] = `| role | enqueues and reads |${rest.split("\n\n")[0]}`.split("\n")
  const cells = (line: string) => line.slice(2, -2).split(" | ")
  return lines.map((line) => Object.fromEntries(cells(head).map((name, index) => [name, cells(line)[index]])))
}

describe("The table of roles", () => {
  it("has a line for every role there is, and for no other [LK-A13]", () => {
    const roles = duties.map(({ role }) => role)
    assert.deepStrictEqual(roles.toSorted(), [...files, "client"].toSorted())
    const layers = Object.keys(Lanekeeper).filter((name) => name.startsWith("layer"))
    for (const { role } of duties) {
      assert.isTrue(
        layers.some((layer) => layer.toLowerCase().startsWith(`layer${role}`)),
        `Lanekeeper has a layer for ${role}`
      )
    }
  })

  it("says of each what its layer is made of [LK-A1, LK-A4, LK-A13]", () => {
    for (const { claims, enqueues, leads, role } of duties) {
      const source = sourceOf(role)
      assert.strictEqual(/Dispatcher\.layer/.test(source), claims, `${role} claims`)
      assert.strictEqual(/Maintenance\.layer/.test(source), leads, `${role} leads`)
      assert.strictEqual(/store\.enqueue/.test(source), enqueues, `${role} enqueues`)
      if (leads && !claims) assert.match(source, /Layer\.provide\(MaintenanceOnly\)/)
    }
  })

  it("is the one the README and --help show [LK-A13]", () => {
    assert.deepStrictEqual<unknown>(readme(), rows)
    const help = String(lanekeeper.description)
    for (const row of rows) {
      const line = help.split("\n").find((line) => line.trim().startsWith(row["role"]!))
      assert.deepStrictEqual(line?.trim().split(/ {2,}/), Object.values(row))
    }
  })
})
