import * as Schema from "effect/Schema"
import * as Job from "../../../src/Job.ts"

export class TooMuch extends Schema.TaggedError<TooMuch>()("TooMuch", { n: Schema.Int }) {}

export const Compute = Job.make("compute", {
  payload: {
    how: Schema.Literals(["square", "fail", "throw", "snooze", "cancel", "spin", "exit", "report"]),
    n: Schema.BigInt
  },
  output: Schema.BigInt,
  failure: TooMuch,
  onFailure: { TooMuch: "dead" },
  keepLogs: 5
})
