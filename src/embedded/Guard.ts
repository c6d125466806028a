/**
 * Watches over a server whose owner may be killed: a shell at the other end of a pipe that the kernel closes with the
 * owner, whatever ended it. Only the machine itself leaves something for the next sweep.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import type { Socket } from "node:net"
import type { Instance } from "./Instance.ts"

/**
 * The server ends when its clients have gone, who may have been the owner's and may be finishing something; or at once
 * when that takes longer than 15 seconds. Whose number it was may be somebody else's by then: the server's file is asked.
 */
const script = `
  cat > /dev/null
  pid=$(head -n 1 "$1/postmaster.pid" 2> /dev/null)
  if [ -n "$pid" ]; then
    kill -TERM "$pid"
    tries=0
    while [ -e "$1/postmaster.pid" ] && [ "$tries" -lt 150 ]; do sleep 0.1; tries=$((tries + 1)); done
    [ -e "$1/postmaster.pid" ] && kill -QUIT "$pid" && sleep 1
  fi
  rm -rf -- "$2" "$3"`

/** `undefined` where there is no shell: the next start sweeps. */
export const post = async ({ data, home, record }: Instance): Promise<ChildProcess | undefined> => {
  const guard = spawn("/bin/sh", ["-c", script, "lanekeeper-guard", data, home, record], {
    cwd: "/",
    detached: true, // a Ctrl-C is the owner's to hear
    stdio: ["pipe", "ignore", "ignore"]
  })
  const began = await Promise.race([once(guard, "spawn"), once(guard, "error").catch(() => undefined)])
  guard.on("error", () => undefined)
  if (began === undefined) return undefined
  // It is there for whoever forgets to dismiss it, and keeps nobody from ending.
  guard.unref()
  ;(guard.stdin as Socket).unref()
  return guard
}

/** For when the server has been stopped in its own time. */
export const dismiss = async (guard: ChildProcess | undefined) => {
  if (guard === undefined || guard.exitCode !== null || guard.signalCode !== null) return
  const ended = once(guard, "exit")
  guard.kill("SIGKILL")
  await ended
}
