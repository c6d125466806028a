/** What others are told of the end of an attempt. */
import * as Duration from "effect/Duration"
import type { Ending } from "../domain/Attempt.ts"
import type { EventType } from "../domain/Event.ts"
import type { AttemptEnd } from "./Store.ts"

/** A death is told of by whoever buries it. */
export const isTold = ({ ending, tell }: AttemptEnd): boolean => tell !== undefined && ending._tag !== "Died"

export const eventOf = ({ _tag }: Ending): EventType => _tag.toLowerCase() as EventType

export const toldOf = ({ ending, ran }: AttemptEnd): Readonly<Record<string, unknown>> => ({
  ranMs: Math.round(Duration.toMillis(ran)),
  ...("error" in ending ? { error: ending.error } : {}),
  ...("reason" in ending ? { reason: ending.reason } : {})
})
