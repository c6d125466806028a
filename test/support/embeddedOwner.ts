/**
 * Owns an embedded server until it is told to stop: the process that tests kill. Takes options as JSON; with `uid` it
 * becomes that user first, as an ordinary user's process would have been from the start.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { EmbeddedPostgres, type Options } from "../../src/EmbeddedPostgres.ts"

const { gid, uid, ...options }: Options & { readonly uid?: number; readonly gid?: number } = JSON.parse(
  process.argv[2]!
)

if (uid !== undefined && gid !== undefined) {
  process.setgroups!([])
  process.setgid!(gid)
  process.setuid!(uid)
}

EmbeddedPostgres.make(options).pipe(
  Effect.tap(({ directory, url }) =>
    Effect.sync(() => process.stdout.write(`${JSON.stringify({ directory, url: Redacted.value(url) })}\n`))
  ),
  Effect.andThen(Effect.never),
  Effect.scoped,
  NodeRuntime.runMain
)
