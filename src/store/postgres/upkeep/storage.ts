/**
 * Reclaims storage: looks at what may be drained, empties it, and moves on the little that still lives in it.
 *
 * Content decides what is emptied; the clock only says where to look. A look counts a whole piece, so it is taken again
 * only after a hundred times as long as it took, and its findings are kept for readers.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { SqlError } from "effect/sql/SqlError"
import type { PieceState, Reclaimed, Upkeep } from "../../Upkeep.ts"
import { shelves, slots } from "../migrations/jobs/tables.ts"
import { mostRows, smallParts } from "../migrations/rewrite.ts"
import { pastRetention, slotsOn } from "../Slots.ts"
import { holdsTerm } from "./holdsTerm.ts"
import { counted, reasons } from "./reasons.ts"
import { isHeldLong, pinned, worthwhile } from "./rewriting.ts"

interface Piece {
  readonly piece: PieceState["piece"]
  readonly number: number
  readonly bytes: number
  readonly current: boolean
  /** All that was written in its last turn is past retention. */
  readonly ripe: boolean
  /** Milliseconds until it is. */
  readonly ripens: number
  /** The ring comes round to it next. */
  readonly closing: boolean
}

interface Found {
  readonly rows: number
  readonly alive: number
  readonly why: string | null
  /** Milliseconds, at least, until the next look. */
  readonly rest: number
  readonly did?: Partial<Reclaimed>
}

const patience = { ripe: 1_000, busy: 5_000, young: 60_000 } as const // milliseconds; what is young is looked at for what leaves no history
const share = 100 // a look is taken again after this many times what it took: a hundredth of one connection
const batches = 30 // copied after one look: to count a slot again costs as much as to copy some of them
const few = 0.05 // of a slot: copying these is cheap beside what emptying it gives back
const width = 150 // bytes of a ticket, about

interface Copied {
  readonly moved: number
  /** Where to go on. */
  readonly last: bigint | undefined
}

const stopped: Copied = { moved: 0, last: undefined }
const nothing: Reclaimed = { emptied: 0, rewritten: 0, evacuated: 0, cleared: 0, full: false }

export const reclaiming = (sql: PgClient, schema: string): Pick<Upkeep, "reclaim" | "storage"> => {
  const { clearAttic, emptyShelf, emptySlot, evacuateAfter, rewrite } = slotsOn(sql, schema)
  const { ofShelf, ofSlot, readers } = reasons(sql, schema)
  const allowed = holdsTerm(sql, schema)
  const underTerm = <A>(move: Effect.Effect<A, SqlError>, otherwise: A) =>
    sql.withTransaction(Effect.flatMap(allowed, (is) => (is ? move : Effect.succeed(otherwise))))

  const size = (table: string, number: string) =>
    `pg_relation_size(format('${schema}.${table}_%s', ${number})::regclass)`
  const small = smallParts.map(
    ({ number, piece, table }) => `('${piece}', ${number}, '${schema}.${table}'::regclass, ${worthwhile(table)})`
  )
  const pieces = `
    SELECT 'slot' AS piece, slot AS number, (${size("job", "slot")} + ${size("attempt_end", "slot")})::float8 AS bytes,
      slot = here AS current,
      slot > slots OR turns > 0 AND (turns - 1) * period + since > retention AS ripe,
      (greatest(extract(epoch FROM retention - (turns - 1) * period - since), 0) * 1000)::float8 AS ripens,
      slot > slots OR turns = slots - 1 AS closing, 1 AS least
    FROM ring CROSS JOIN generate_series(1, ${slots}) AS slot
    CROSS JOIN LATERAL (SELECT (here - slot + slots) % slots AS turns) back
    UNION ALL
    SELECT 'shelf', shelf, ${size("ticket", "shelf")}::float8, shelf = on_shelf, true, 0, true, ${worthwhile("ticket")}
    FROM ring CROSS JOIN generate_series(0, ${shelves - 1}) AS shelf
    UNION ALL
    SELECT 'attic', 0, (${size("job", "0")} + ${size("attempt_end", "0")})::float8, true, true, 0, true, 1
    UNION ALL
    SELECT piece, number, pg_relation_size(part)::float8, true, true, 0, true, least
    FROM (VALUES ${small.join(", ")}) AS small (piece, number, part, least)`
  const withRing = `
    WITH ring AS (
      SELECT slots::int, period, retention, 1 + (ticks % slots)::int AS here,
        floor(extract(epoch FROM clock_timestamp()) / extract(epoch FROM shelf_period))::bigint % ${shelves} AS on_shelf,
        clock_timestamp() - to_timestamp((ticks * extract(epoch FROM period))::float8) AS since
      FROM ${schema}.ring
      CROSS JOIN LATERAL (SELECT floor(extract(epoch FROM clock_timestamp()) / extract(epoch FROM period))::bigint AS ticks) clock
    )`
  const due = `${withRing}
    SELECT piece.* FROM (${pieces}) piece
    LEFT JOIN ${schema}.look ON look.piece = piece.piece AND look.number = piece.number
    WHERE bytes >= least
      AND (NOT current OR piece.piece NOT IN ('slot', 'shelf')) AND (again_at IS NULL OR again_at <= clock_timestamp())
      AND (piece.piece IN ('slot', 'shelf', 'attic') OR ${pinned})
    ORDER BY piece.piece = 'attic', closing DESC, number`

  const census = (slot: number) => `
    SELECT count(*)::float8 AS rows, count(*) FILTER (WHERE done.final IS NULL)::float8 AS alive,
      count(*) FILTER (WHERE done.final IN ('completed', 'cancelled') AND NOT ${pastRetention(schema, "body", "done")})::float8 AS kept
    FROM ${schema}.job_${slot} AS body
    LEFT JOIN ${schema}.attempt_end_${slot} AS done ON done.job = body.id AND done.final IS NOT NULL AND done.final <> 'revived'`
  const count = Effect.fnUntraced(function* (slot: number) {
    const [row] = yield* sql.unsafe<{ readonly rows: number; readonly alive: number; readonly kept: number }>(
      census(slot)
    )
    return row!
  })

  const lookAtSlot = Effect.fnUntraced(function* ({ closing, number, ripe }: Piece, limit: number) {
    const before = yield* count(number)
    const rest = ripe ? patience.ripe : patience.young
    // Above a few per cent alive the slot is left, to be shared with what is written next; when its turn comes, what
    // is over must not be kept for another round by less than as much that is not.
    const worth =
      before.alive > 0 &&
      ripe &&
      (before.alive <= Math.max(limit, before.rows * few) || (closing && before.alive * 2 <= before.rows))
    let evacuated = 0
    let after: bigint | undefined = worth ? 0n : undefined
    for (let batch = 0; after !== undefined && batch < batches; batch++) {
      const { last, moved }: Copied = yield* underTerm(evacuateAfter(number, limit, after), stopped)
      evacuated += moved
      after = last
    }
    const full = after !== undefined && evacuated > 0
    const alive = before.alive - evacuated
    const found = { rows: before.rows, alive, why: null, rest }
    if (evacuated > 0 && alive > 0) {
      return { ...found, rest: 0, why: yield* ofSlot(number, alive), did: { evacuated, full } }
    }
    if (alive > 0) return { ...found, why: yield* ofSlot(number, alive) }
    if (before.kept > 0) return { ...found, did: { evacuated } }
    const how = yield* emptySlot(number)
    if (how === "emptied") return { ...found, rows: 0, did: { evacuated, emptied: 1 } }
    const why = how === "busy" ? yield* readers(`job_${number}`, `attempt_end_${number}`) : yield* ofSlot(number, 0)
    return { ...found, why, did: { evacuated } }
  })

  const ticketColumns =
    "id, again, ready_at, size, turn, jobs, attempt, failures, crashes, deadline_ms, slot, priority, queue, kind"
  const shelve = (shelf: number) => `
    WITH gone AS (
      DELETE FROM ${schema}.ticket_${shelf} AS ticket USING (
        SELECT id FROM ${schema}.ticket_${shelf} ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
      ) AS held
      WHERE ticket.id = held.id RETURNING ticket.*
    ), moved AS (
      INSERT INTO ${schema}.ticket (shelf, ${ticketColumns})
      SELECT floor(extract(epoch FROM clock_timestamp()) / extract(epoch FROM shelf_period))::bigint % ${shelves}, ${ticketColumns
        .split(", ")
        .map((column) => `gone.${column}`)
        .join(", ")} FROM gone CROSS JOIN ${schema}.ring
    )
    SELECT count(*)::int AS moved FROM gone`

  const lookAtShelf = Effect.fnUntraced(function* ({ bytes, number }: Piece, limit: number) {
    const first = yield* emptyShelf(number)
    const found = { rows: 0, alive: 0, why: null, rest: patience.ripe }
    if (first === "emptied") return { ...found, did: { emptied: 1 } }
    if (first === "busy") return { ...found, why: yield* readers(`ticket_${number}`) }
    const [row] = yield* sql.unsafe<{ readonly tickets: number }>(
      `SELECT count(*)::float8 AS tickets FROM ${schema}.ticket_${number}`
    )
    const { tickets } = row!
    const left = { ...found, rows: tickets, alive: tickets }
    if (tickets > limit || tickets * width > bytes * few) return { ...left, why: yield* ofShelf(number, tickets) }
    const evacuated = yield* underTerm(
      Effect.map(sql.unsafe<{ readonly moved: number }>(shelve(number), [limit]), ([moved]) => moved!.moved),
      0
    )
    const emptied = (yield* emptyShelf(number)) === "emptied" ? 1 : 0
    return emptied === 1 ? { ...found, did: { evacuated, emptied } } : { ...left, did: { evacuated } }
  })

  const lookAtAttic = Effect.fnUntraced(function* (limit: number) {
    const cleared = yield* underTerm(clearAttic({ limit }), 0)
    const { alive, rows } = yield* count(0)
    const full = cleared === limit
    return { rows, alive, why: null, rest: full ? 0 : patience.young, did: { cleared, full } }
  })

  /** Written anew when half of it is dead: however large it is, what it costs to copy was saved up by as many writes. */
  const lookAtTable = Effect.fnUntraced(function* ({ bytes, number, piece }: Piece) {
    const { table } = smallParts.find((part) => part.piece === piece && part.number === number)!
    const [row] = yield* sql.unsafe<{ readonly rows: number; readonly living: number }>(
      `SELECT count(*)::float8 AS rows, coalesce(sum(pg_column_size(one) + 4), 0)::float8 AS living FROM ${schema}.${table} AS one`
    )
    const { living, rows } = row!
    const found = { rows, alive: rows, why: null, rest: patience.ripe }
    if (living * 2 > bytes) return found
    if (rows > mostRows) return { ...found, why: `${counted(rows, "row")}, too many to copy while everybody waits` }
    // To wait for somebody who stays would be in vain, and everybody would queue behind.
    const how = (yield* isHeldLong(sql, `${schema}.${table}`)) ? "busy" : yield* rewrite(table, bytes)
    if (how === "emptied") return { ...found, did: { rewritten: 1 } }
    return how === "busy"
      ? { ...found, why: yield* readers(table), rest: patience.busy }
      : { ...found, rest: patience.young }
  })

  const look = (piece: Piece, limit: number): Effect.Effect<Found, SqlError> => {
    if (piece.piece === "slot") return lookAtSlot(piece, limit)
    if (piece.piece === "shelf") return lookAtShelf(piece, limit)
    return piece.piece === "attic" ? lookAtAttic(limit) : lookAtTable(piece)
  }

  const keep = `
    INSERT INTO ${schema}.look (piece, number, looked_at, again_at, rows, alive, why)
    VALUES ($1, $2, clock_timestamp(), clock_timestamp() + $3 * interval '1 ms', $4, $5, $6)
    ON CONFLICT (piece, number) DO UPDATE SET (looked_at, again_at, rows, alive, why) =
      (excluded.looked_at, excluded.again_at, excluded.rows, excluded.alive, excluded.why)`

  const reclaim = Effect.fnUntraced(function* ({ limit }: { readonly limit: number }) {
    let all = nothing
    for (const piece of yield* sql.unsafe<Piece>(due)) {
      const began = yield* Clock.currentTimeMillis
      const { alive, did = {}, rest, rows, why } = yield* look(piece, limit)
      const took = (yield* Clock.currentTimeMillis) - began
      const pause = Math.max(rest, took * share * (piece.ripe ? 1 : 100))
      const again = rest === 0 ? 0 : piece.ripe ? pause : Math.min(pause, piece.ripens)
      yield* sql.unsafe(keep, [piece.piece, piece.number, again, rows, alive, why])
      all = {
        emptied: all.emptied + (did.emptied ?? 0),
        rewritten: all.rewritten + (did.rewritten ?? 0),
        evacuated: all.evacuated + (did.evacuated ?? 0),
        cleared: all.cleared + (did.cleared ?? 0),
        full: all.full || (did.full ?? false)
      }
    }
    return all
  })

  const states = `${withRing}
    SELECT piece.piece, piece.number, bytes, current, (extract(epoch FROM clock_timestamp() - looked_at) * 1000)::float8 AS age,
      rows::float8, alive::float8, why
    FROM (${pieces}) piece LEFT JOIN ${schema}.look ON look.piece = piece.piece AND look.number = piece.number
      AND (piece.piece IN ('slot', 'shelf', 'attic') OR looked_at > clock_timestamp() - interval '2 minutes')
    ORDER BY piece.piece <> ALL (ARRAY['slot', 'shelf', 'attic']), piece.piece DESC, number`

  return {
    reclaim,
    storage: Effect.map(
      sql.unsafe<{
        readonly piece: PieceState["piece"]
        readonly number: number
        readonly bytes: number
        readonly current: boolean
        readonly age: number | null
        readonly rows: number
        readonly alive: number
        readonly why: string | null
      }>(states),
      (found) =>
        found.map(({ age, alive, rows, why, ...piece }) => ({
          ...piece,
          looked:
            age === null
              ? Option.none()
              : Option.some({ age: Duration.millis(age), rows, alive, why: Option.fromNullOr(why) })
        }))
    )
  }
}
