/** Lists the public names of the testing kit; nothing else is exported. */
export { DevelopmentDatabase } from "./DevelopmentDatabase.ts"
export { EmbeddedPostgres, EmbeddedPostgresError } from "./EmbeddedPostgres.ts"
export * as JobsTest from "./testkit/JobsTest.ts"
