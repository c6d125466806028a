import { type SmallTable, smallTables } from "../../Upkeep.ts"
import { keyParts } from "./producers/enqueueUnique.ts"

/** Rows that are copied while everybody waits: 35 ms. */
export const mostRows = 10_000

/** The tables as PostgreSQL has them: `number` tells parts of one apart. */
export const smallParts = smallTables.flatMap((piece): ReadonlyArray<SmallPart> =>
  piece === "unique_key"
    ? Array.from({ length: keyParts }, (_, number) => ({ piece, number, table: `${piece}_${number}` }))
    : [{ piece, number: 0, table: piece }]
)

interface SmallPart {
  readonly piece: SmallTable
  readonly number: number
  readonly table: string
}

/** A dump has its snapshot before its locks: what is written anew in between is empty in it, and lost to who restores it. */
const isDumped =
  "EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'pg\\_dump%')"

/**
 * Writes a small table anew: copies what is in it, truncates, and puts it back. Its dead rows stay behind, which no
 * vacuum may take out while a snapshot is pinned somewhere in the database.
 *
 * Nobody has the table open meanwhile, and who waits for it reads what was put back: a statement takes its snapshot when
 * it has its locks, and so does each statement of a VOLATILE function. What goes by an older snapshot finds the table
 * empty: a STABLE function, and so none reads one of these tables, and a transaction with one snapshot for all it does.
 *
 * It runs as the schema's owner, for those who were granted it: who may write leases could claim. Nobody queues for long
 * behind the wait for the lock, and a table that another has just written anew, or that has grown, is left.
 */
export const rewrite = (schema: string): ReadonlyArray<string> => [
  `CREATE FUNCTION ${schema}.rewrite(piece text, least_bytes bigint) RETURNS boolean LANGUAGE plpgsql VOLATILE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '20ms' AS $$
DECLARE${smallParts
    .map(
      ({ table }) => `
  kept_${table} ${schema}.${table}[];`
    )
    .join("")}
BEGIN
  CASE piece${smallParts
    .map(
      ({ table }) => `
    WHEN '${table}' THEN
      LOCK TABLE ${schema}.${table} IN ACCESS EXCLUSIVE MODE;
      IF ${isDumped} OR pg_relation_size('${schema}.${table}') < least_bytes OR (SELECT count(*) FROM ${schema}.${table}) > ${mostRows} THEN
        RETURN false;
      END IF;
      SELECT array_agg(one) INTO kept_${table} FROM ${schema}.${table} AS one;
      TRUNCATE ${schema}.${table};
      INSERT INTO ${schema}.${table} OVERRIDING SYSTEM VALUE SELECT * FROM unnest(kept_${table});`
    )
    .join("")}
  END CASE;
  -- One that began meanwhile waits for its locks by now, or is about to.
  PERFORM pg_stat_clear_snapshot();
  IF ${isDumped} THEN
    RAISE lock_not_available USING MESSAGE = 'a dump began while ' || piece || ' was written anew';
  END IF;
  RETURN true;
END
$$`,
  `REVOKE ALL ON FUNCTION ${schema}.rewrite FROM PUBLIC`
]
