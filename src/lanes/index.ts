/** Lists the lanes. Adding one is one file and one line here. */
import type { Lane } from "./Lane.ts"
import { aging } from "./aging.ts"
import { hook } from "./hook.ts"
import { indexes } from "./indexes.ts"
import { liveness } from "./liveness.ts"
import { outbox, outboxAtStart } from "./outbox.ts"
import { promote } from "./promote.ts"
import { reconcile } from "./reconcile.ts"
import { rescueCallback } from "./rescueCallback.ts"
import { rescueDeadline } from "./rescueDeadline.ts"
import { rescueStale } from "./rescueStale.ts"
import { retention } from "./retention.ts"
import { slots } from "./slots.ts"
import { stats } from "./stats.ts"

export const lanes: ReadonlyArray<Lane> = [
  promote,
  rescueStale,
  rescueDeadline,
  rescueCallback,
  slots,
  aging,
  retention,
  stats,
  reconcile,
  outbox,
  liveness,
  indexes,
  hook
]

/** What every start does once, leading or not, in this order. */
export const recovery: ReadonlyArray<Lane> = [
  rescueStale,
  rescueDeadline,
  rescueCallback,
  promote,
  reconcile,
  outboxAtStart
]
