/**
 * Starts one server for the whole run, or takes that of DATABASE_URL, and migrates the template every test clones.
 * LANEKEEPER_TEST_POSTGRES names a folder of other server binaries (`scripts/test --postgres 15`).
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import type { TestProject } from "vitest/node"
import { DevelopmentDatabase } from "../../src/DevelopmentDatabase.ts"
import * as Migrations from "../../src/store/postgres/Migrations.ts"

const start = Effect.gen(function* () {
  const { url } = yield* DevelopmentDatabase.make({
    binaries: process.env["LANEKEEPER_TEST_POSTGRES"],
    settings: {
      // Only what a power cut would need. Commits stay synchronous, so that nothing here is faster than it can be in earnest.
      fsync: "off",
      full_page_writes: "off",
      max_connections: "300"
    }
  })
  const admin = yield* PgConnection.make({ url })
  const template = `lanekeeper_template_${randomBytes(6).toString("hex")}` // the server may be shared with another run
  yield* Effect.acquireRelease(admin.query(`CREATE DATABASE ${template} TEMPLATE template0`), () =>
    Effect.orDie(admin.query(`DROP DATABASE IF EXISTS ${template} WITH (FORCE)`))
  )
  const target = new URL(Redacted.value(url))
  target.pathname = `/${template}`
  // The pool is closed here: a database with connections cannot be cloned.
  yield* Migrations.migrate().pipe(Effect.provide(PgClient.layer({ url: Redacted.make(target.toString()) })))
  return { adminUrl: Redacted.value(url), template }
})

export default async (project: TestProject) => {
  const scope = Scope.makeUnsafe()
  const { adminUrl, template } = await Effect.runPromise(Scope.provide(start, scope))
  project.provide("adminUrl", adminUrl)
  project.provide("template", template)
  return () => Effect.runPromise(Scope.close(scope, Exit.void))
}
