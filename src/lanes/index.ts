/** Lists the lanes. Adding one is one file and one line here. */
import type { Lane } from "./Lane.ts"
import { promote } from "./promote.ts"
import { rescueCallback } from "./rescueCallback.ts"
import { rescueDeadline } from "./rescueDeadline.ts"
import { rescueStale } from "./rescueStale.ts"

export const lanes: ReadonlyArray<Lane> = [promote, rescueStale, rescueDeadline, rescueCallback]

/** What every start does once, leading or not, in this order. */
export const recovery: ReadonlyArray<Lane> = [rescueStale, rescueDeadline, rescueCallback, promote]
