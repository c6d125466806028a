/** A server of one's own, to be stopped and started: that of the run is everybody's. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { EmbeddedPostgres } from "../../src/EmbeddedPostgres.ts"
import * as Migrations from "../../src/store/postgres/Migrations.ts"
import { TestDatabase } from "./TestDatabase.ts"

/** Its database is the test's, and what the server can do beyond others is `EmbeddedPostgres`. */
export const layerOwnServer = Layer.unwrap(
  Effect.gen(function* () {
    const { url } = yield* EmbeddedPostgres
    const client = PgClient.layer({ url })
    yield* Effect.provide(Migrations.migrate(), client)
    const text = Redacted.value(url)
    return Layer.merge(client, TestDatabase.at("postgres", text))
  })
).pipe(
  Layer.provideMerge(
    EmbeddedPostgres.layer({
      binaries: process.env["LANEKEEPER_TEST_POSTGRES"],
      // A stopped server loses nothing without them, however it is stopped: only a machine does.
      settings: { fsync: "off", full_page_writes: "off" }
    })
  )
)
