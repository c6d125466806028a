/** The kind of the scene: it computes without pause for as long as it is told. */
import * as Schema from "effect/Schema"
import * as Job from "../../../src/Job.ts"

export const Spin = Job.make("spin", { payload: { seconds: Schema.Int } })
