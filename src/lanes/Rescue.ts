/** When a worker is given up, and how often a job is. Lanes read it; whoever composes them sets it. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Settings from "../Settings.ts"

export const Rescue = Context.Reference<{
  readonly staleAfter: Duration.Duration
  /** How many times a job may be rescued. One more and it is dead. */
  readonly crashBudget: number
}>("lanekeeper/lanes/Rescue", {
  defaultValue: () => ({
    staleAfter: Settings.staleAfter.fallback.value,
    crashBudget: Settings.crashBudget.fallback.value
  })
})
