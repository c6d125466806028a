/** Lists the benchmarks. */
import type { Benchmark } from "./Benchmark.ts"
import { ceiling } from "./ceiling.ts"
import { drain } from "./drain.ts"
import { enqueue } from "./enqueue.ts"
import { isolation } from "./isolation.ts"
import { latency } from "./latency.ts"
import { pinned } from "./pinned.ts"

export const benchmarks: ReadonlyArray<Benchmark> = [ceiling, enqueue, drain, latency, isolation, pinned]
