#!/usr/bin/env node
/**
 * Enters the command line on a Node that can run it: this one, or the one `scripts/setup` fetched beside the package.
 *
 * It has no static imports, because those run before any check could, and it must parse on the Node it turns away.
 */
const required = [22, 19] as const

const isRight = (version: string) => {
  const [major = 0, minor = 0] = version.split(".").map(Number)
  return major > required[0] || (major === required[0] && minor >= required[1])
}

/** Runs the same command on another Node and ends as it ended. */
const handOver = async (node: string) => {
  const { spawn } = await import("node:child_process")
  const { fileURLToPath } = await import("node:url")
  const child = spawn(node, [...process.execArgv, fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: ["inherit", "inherit", "inherit", "ipc"],
    env: {
      ...process.env,
      LANEKEEPER_HANDED_OVER: "1", // a fetched Node that is too old as well must not hand over again
      LANEKEEPER_OWNED: "1" // when this process is killed the channel closes, and the other stops in its own time
    }
  })
  const forward = (signal: NodeJS.Signals) => {
    // A terminal sends its Ctrl-C to the child too; a second one would mean "do not wait".
    if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal)
  }
  for (const signal of ["SIGTERM", "SIGHUP", "SIGINT"] as const) process.on(signal, forward)
  child.on("error", () => turnAway())
  child.on("exit", (code, signal) => {
    if (signal === null) process.exit(code ?? 1)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}

const turnAway = () => {
  process.stderr.write(
    `lanekeeper needs Node.js ${required.join(".")} or newer and this is ${process.version}: ` +
      `install one from https://nodejs.org, or run scripts/setup in a clone.\n`
  )
  process.exit(78) // EX_CONFIG
}

if (isRight(process.versions.node)) {
  await import("./cli/index.ts")
} else {
  const { existsSync } = await import("node:fs")
  const { fileURLToPath } = await import("node:url")
  const fetched = fileURLToPath(new URL("../.node/bin/node", import.meta.url))
  if (process.env["LANEKEEPER_HANDED_OVER"] === undefined && existsSync(fetched)) await handOver(fetched)
  else turnAway()
}
