/** What the threads of these tests run. */
import * as Effect from "effect/Effect"
import * as Attempt from "../../../src/Attempt.ts"
import * as Thread from "../../../src/Thread.ts"
import { Compute, TooMuch } from "./Compute.ts"

export default Thread.handler(
  Compute,
  Effect.fnUntraced(function* ({ how, n }, { checkpoint, id, progress }) {
    switch (how) {
      case "square":
        return n * n
      case "fail":
        return yield* new TooMuch({ n: Number(n) })
      case "throw":
        throw new RangeError("thrown in the thread")
      case "snooze":
        return yield* Attempt.snooze("1 hour")
      case "cancel":
        return yield* Attempt.cancel("not worth it")
      case "exit":
        return process.exit(3)
      case "report":
        yield* progress(50, "half way")
        yield* checkpoint({ at: 7 })
        yield* Effect.logInfo("computed", id)
        return n
      case "spin":
        for (;;);
    }
  })
)
