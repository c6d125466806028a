/**
 * Lets a statement that is a transaction of its own commit without waiting for the disk. It is for what a worker only
 * holds: claims, begins and beats. After a crash of the server the last of them, less than a second's, may never have
 * been, but nothing that was acknowledged is lost: a commit that waits has everything before it on disk, so an outcome
 * that was accepted has its claim, and one whose claim was forgotten is refused, for the job is ready again.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

/** Not inside a caller's transaction, whose durability is not ours to change. */
export const alone = (sql: PgClient) => Effect.map(Effect.serviceOption(sql.transactionService), Option.isNone)

/** A condition that holds, for the rows that the other ones find. */
export const lazily = (alone: string) => `(NOT ${alone} OR set_config('synchronous_commit', 'off', true) = 'off')`
