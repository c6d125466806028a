/** The store in PostgreSQL. The statements read alone; what several of them share is the schema's few functions. */
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Store } from "../Store.ts"
import { claiming } from "./claim.ts"
import { enqueueing } from "./enqueue.ts"
import { telling } from "./events.ts"
import { finishing } from "./finish.ts"
import { leading } from "./leading.ts"
import * as Migrations from "./Migrations.ts"
import { OpenLeases } from "./OpenLeases.ts"
import { noting } from "./notes.ts"
import { passing } from "./passes.ts"
import { reading } from "./reading.ts"
import { rescuing } from "./rescues.ts"
import { quoted, schemaName, type SchemaName } from "./SchemaName.ts"
import { single } from "./single.ts"
import { upkeeping } from "./upkeep/index.ts"
import { workersAndQueues } from "./workers.ts"

export interface Options {
  /** Defaults to `lanekeeper`. */
  readonly schema?: string | undefined
}

/** The store on a client whose schema was checked. */
export const storeOn = Effect.fnUntraced(function* (client: PgClient, name: SchemaName) {
  // Rows are read by the names the statements give them, whatever the app has its own renamed to.
  const sql = client.withoutTransforms()
  const schema = quoted(name)
  const open = new OpenLeases()
  const reads = reading(sql, schema)
  const moves = single(sql, schema, reads.place)
  const rescues = rescuing(sql, schema)
  return Store.of({
    ...(yield* enqueueing(sql, schema)),
    ...(yield* claiming(sql, schema, open)),
    ...finishing(sql, schema, open),
    ...noting(sql, schema),
    ...passing(sql, schema, moves.setAside),
    ...rescues,
    ...leading(sql, schema),
    ...telling(sql, schema),
    ...moves,
    ...workersAndQueues(sql, schema, open),
    ...upkeeping(sql, name, rescues.rescueWorker),
    ...reads
  })
})

const make = Effect.fnUntraced(function* (options: Options) {
  const client = yield* PgClient
  const schema = yield* schemaName(options.schema)
  yield* Migrations.check({ schema })
  return yield* storeOn(client, schema)
})

/** Refuses a schema it cannot work on when it is built, and not at the first statement. */
export const layerPostgres = (options: Options = {}) => Layer.effect(Store, make(options))
