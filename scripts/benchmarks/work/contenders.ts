/** Lists those that are measured side by side. */
import type { Contender } from "./Contender.ts"
import { floor } from "./floor.ts"
import { lanekeeper } from "./lanekeeper.ts"

export const contenders: ReadonlyArray<Contender> = [floor, lanekeeper]
