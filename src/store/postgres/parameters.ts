/** Makes array parameters. Their type is said: the client would infer one from each array's own elements. */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Result from "effect/Result"
import { storable } from "../../domain/json.ts"

const arrayOf = (oid: number) => (values: ReadonlyArray<unknown>) => Result.getOrThrow(PgTypes.array(values, oid))

export const int2s = arrayOf(PgTypes.OID.int2)
export const int4s = arrayOf(PgTypes.OID.int4)
const bigints = arrayOf(PgTypes.OID.int8)
export const int8s = (values: ReadonlyArray<bigint | number | null>) =>
  bigints(values.map((value) => (typeof value === "number" ? BigInt(value) : value)))
export const float8s = arrayOf(PgTypes.OID.float8)
export const texts = arrayOf(PgTypes.OID.text)
export const times = arrayOf(PgTypes.OID.timestamptz)
const jsonbs = arrayOf(PgTypes.OID.jsonb)
/** `undefined` and null are NULL. */
export const jsons = (values: ReadonlyArray<unknown>) =>
  jsonbs(values.map((value) => (value === undefined || value === null ? null : storable(value))))
export const json = (value: unknown) => (value === undefined ? null : PgTypes.jsonb(storable(value)))
