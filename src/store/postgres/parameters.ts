/** Makes array parameters. Their type is said: the client would infer one from each array's own elements. */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Result from "effect/Result"

const arrayOf = (oid: number) => (values: ReadonlyArray<unknown>) => Result.getOrThrow(PgTypes.array(values, oid))

export const int2s = arrayOf(PgTypes.OID.int2)
export const int4s = arrayOf(PgTypes.OID.int4)
const bigints = arrayOf(PgTypes.OID.int8)
export const int8s = (values: ReadonlyArray<bigint | number | null>) =>
  bigints(values.map((value) => (typeof value === "number" ? BigInt(value) : value)))
export const bools = arrayOf(PgTypes.OID.bool)
export const texts = arrayOf(PgTypes.OID.text)
export const times = arrayOf(PgTypes.OID.timestamptz)
export const jsons = arrayOf(PgTypes.OID.jsonb)
export const { jsonb: json } = PgTypes
