import { availableParallelism } from "node:os"
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const source = (file: string) => fileURLToPath(new URL(`../src/${file}`, import.meta.url))

export default defineConfig({
  // Examples import what users import.
  resolve: { alias: { "lanekeeper/testing": source("testing.ts"), lanekeeper: source("index.ts") } },
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: "test/support/globalSetup.ts",
    reporters: ["default", "./test/support/TallyReporter.ts"],
    allowOnly: false,
    maxWorkers: Math.max(3, availableParallelism() - 1), // the tests wait for other processes more than they compute
    isolate: false, // no test changes what others import: what they share is loaded once per worker, not once per file
    testTimeout: 30_000, // two cores, shared with servers and child processes: a hang, not a slow test
    hookTimeout: 30_000
  }
})
