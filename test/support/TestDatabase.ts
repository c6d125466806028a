/**
 * Gives a test a database of its own, cloned from the migrated template of this run and dropped with the scope.
 * Tests that use one are `it.live`, or under `layer(TestDatabase.layer, { excludeTestServices: true })`: a socket does not
 * wait for the TestClock. The database is dropped when the layer closes, so what a test opens must be closed before:
 * put `Effect.scoped` before `Effect.provide(TestDatabase.layer)`.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { SqlError } from "effect/sql/SqlError"
import { randomBytes } from "node:crypto"
import { inject } from "vitest"

declare module "vitest" {
  interface ProvidedContext {
    /** Where databases are created and dropped. */
    readonly adminUrl: string
    readonly template: string
  }
}

/** The same server, another database or login. */
export const urlTo = (database: string, login?: { readonly user: string; readonly password: string }) => {
  const url = new URL(inject("adminUrl"))
  url.pathname = `/${database}`
  if (login !== undefined) Object.assign(url, { username: login.user, password: login.password })
  return url.toString()
}

export const randomName = (prefix: string) => `${prefix}_${randomBytes(6).toString("hex")}`

const make = Effect.fn("TestDatabase.make")(function* (template: string) {
  const admin = yield* PgConnection.make({ url: Redacted.make(inject("adminUrl")) })
  const name = randomName("lanekeeper_test")
  yield* Effect.acquireRelease(admin.query(`CREATE DATABASE ${name} TEMPLATE ${template}`), () =>
    Effect.orDie(admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`))
  )
  return at(name, urlTo(name))
})

const at = (name: string, url: string): TestDatabase["Service"] => ({
  name,
  url,
  connect: PgConnection.make({ url: Redacted.make(url) }),
  client: (options) => Layer.build(PgClient.layer({ ...options, url: Redacted.make(options?.url ?? url) }))
})

export class TestDatabase extends Context.Service<
  TestDatabase,
  {
    readonly name: string
    /** For other processes, and for connections that the helpers below do not give. */
    readonly url: string
    /** Opens one more connection of its own, outside every pool, for the rest of the scope. */
    readonly connect: ReturnType<typeof PgConnection.make>
    /** Opens one more pool, for the rest of the scope: another process, as far as the database can tell. */
    readonly client: (
      options?: Omit<PgClient.PgPoolConfig, "url"> & { readonly url?: string }
    ) => ReturnType<typeof Layer.build<never, SqlError, PgClient.PgClient>>
  }
>()("lanekeeper/test/TestDatabase") {
  /** The database and a pool on it. */
  static readonly layer = this.from(() => inject("template"))

  /** The same without any schema. */
  static readonly layerEmpty = this.from(() => "template0")

  /** One that is there, on a server of the test's own. */
  static readonly at = (name: string, url: string) => Layer.succeed(this, at(name, url))

  private static from(template: () => string) {
    const database = Layer.effect(
      TestDatabase,
      Effect.suspend(() => make(template()))
    )
    const pool = Layer.unwrap(
      Effect.map(TestDatabase, ({ url }) => PgClient.layer({ url: Redacted.make(url), maxConnections: 10 }))
    )
    return pool.pipe(Layer.provideMerge(database))
  }
}
