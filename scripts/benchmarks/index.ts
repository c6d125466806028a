/** Lists the benchmarks. */
import type { Benchmark } from "./Benchmark.ts"
import { ceiling } from "./ceiling.ts"
import { enqueue } from "./enqueue.ts"

export const benchmarks: ReadonlyArray<Benchmark> = [ceiling, enqueue]
