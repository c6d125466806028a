/** Stands between a process and the server, and is cut, black-holed or mended: the network as it can be. */
import * as Effect from "effect/Effect"
import { once } from "node:events"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"

export const makeNetwork = Effect.fnUntraced(function* (url: string) {
  let target = new URL(url)
  const sockets = new Set<Socket>()
  const forgotten = new WeakSet<Socket>()
  let state: "mended" | "cut" | "black hole" = "mended"
  const server = createServer((near) => {
    if (state === "cut") return void near.destroy()
    const far = connect(Number(target.port), target.hostname)
    for (const [from, to] of [
      [near, far],
      [far, near]
    ] as const) {
      sockets.add(from)
      from.on("data", (chunk) => state === "black hole" || forgotten.has(from) || to.write(chunk)) // what falls in does not come out
      from.on("close", () => {
        sockets.delete(from)
        if (state !== "black hole" && !forgotten.has(from)) to.destroy()
      })
      from.on("error", () => {}) // the other end hears of it by the close
    }
  })
  yield* Effect.acquireRelease(
    Effect.promise(() => {
      server.listen(0, "127.0.0.1")
      return once(server, "listening")
    }),
    () =>
      Effect.sync(() => {
        for (const socket of sockets) socket.destroy()
        server.close()
      })
  )
  const through = new URL(url)
  Object.assign(through, { hostname: "127.0.0.1", port: `${(server.address() as AddressInfo).port}` })
  return {
    url: through.toString(),
    /** Every connection breaks, and no new one is taken. */
    cut: Effect.sync(() => {
      state = "cut"
      for (const socket of sockets) socket.destroy()
    }),
    /** Nothing arrives any more, and nobody is told. */
    blackHole: Effect.sync(() => {
      state = "black hole"
    }),
    /** What is connected falls into a black hole for good, and new connections work: a router that lost its table. */
    forget: Effect.sync(() => {
      for (const socket of sockets) forgotten.add(socket)
    }),
    /** New connections come to another server, as when a name is pointed elsewhere. What is connected stays. */
    lead: (to: string) => Effect.sync(() => void (target = new URL(to))),
    /** New connections work. Those that lost something are broken by then. */
    mend: Effect.sync(() => {
      if (state === "black hole") for (const socket of sockets) socket.destroy()
      state = "mended"
    })
  }
})
