/** What the thread of the scene runs. */
import * as Effect from "effect/Effect"
import * as Thread from "../../../src/Thread.ts"
import { Spin } from "./Spin.ts"

export default Thread.handler(Spin, ({ seconds }) =>
  Effect.sync(() => {
    const end = performance.now() + seconds * 1_000
    while (performance.now() < end);
  })
)
