/** Lists the public names; nothing else is exported. */
export { DatabasePermission, DatabaseTooOld, DatabaseUnavailable } from "./store/postgres/DatabaseError.ts"
export * as Migrations from "./store/postgres/Migrations.ts"
export { SchemaName } from "./store/postgres/SchemaName.ts"
