/** A database of a contender for one measurement: cloned, so that none finds what another left. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { Contender } from "./Contender.ts"

const to = (server: Redacted.Redacted<string>, name: string) => {
  const url = new URL(Redacted.value(server))
  url.pathname = `/${name}`
  return Redacted.make(url.toString())
}

export const makeTemplate = Effect.fnUntraced(function* (
  admin: PgConnection.PgConnection,
  server: Redacted.Redacted<string>,
  contender: Contender,
  name: string
) {
  yield* admin.query(`CREATE DATABASE ${name} TEMPLATE template0`)
  yield* Effect.provide(contender.prepare, PgClient.layer({ url: to(server, name) }))
})

let made = 0

/** Answers with a producer on it. */
export const openDatabase = Effect.fnUntraced(function* (
  admin: PgConnection.PgConnection,
  server: Redacted.Redacted<string>,
  contender: Contender,
  template: string
) {
  const name = `bench_${++made}`
  yield* Effect.acquireRelease(admin.query(`CREATE DATABASE ${name} TEMPLATE ${template}`), () =>
    Effect.orDie(admin.query(`DROP DATABASE ${name} WITH (FORCE)`))
  )
  const url = to(server, name)
  const client = yield* Layer.build(PgClient.layer({ url, maxConnections: 10 }))
  const producer = yield* Effect.provideContext(contender.produce, client)
  return { url, producer }
})
