/**
 * Stands between clients and a server as a pooler in transaction mode does: all clients share one session of the
 * server, one statement at a time, and nobody hears notifications.
 */
import * as Effect from "effect/Effect"
import { createServer, connect, type AddressInfo, type Socket } from "node:net"

/** Splits a stream of the protocol into messages: a type, a length and what follows. */
const messages = (each: (message: Buffer) => void) => {
  let rest = Buffer.alloc(0)
  return (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= 5 && rest.length >= 1 + rest.readInt32BE(1)) {
      const length = 1 + rest.readInt32BE(1)
      each(rest.subarray(0, length))
      rest = rest.subarray(length)
    }
  }
}

const sslRequest = 80_877_103
const is = (message: Buffer, type: string) => message[0] === type.charCodeAt(0)

export const makePooler = Effect.fnUntraced(function* (url: string) {
  const target = new URL(url)
  let server: Socket | undefined
  let owner: Socket | undefined
  const greeting: Array<Buffer> = []
  let greeted = false
  const waiting: Array<{ readonly client: Socket; readonly data: Buffer }> = []

  /** Hands the session to whoever waits first, with all it has said. */
  const next = () => {
    const first = waiting[0]
    if (owner !== undefined || first === undefined || !greeted) return
    owner = first.client
    for (const { client, data } of waiting.splice(0)) {
      if (client === owner) server!.write(data)
      else waiting.push({ client, data })
    }
  }

  const fromServer = messages((message) => {
    if (is(message, "A")) return
    // What follows the proof of the password is what every client is greeted with.
    if (!greeted && (is(message, "S") || is(message, "K") || is(message, "Z") || message.readInt32BE(5) === 0)) {
      greeting.push(Buffer.from(message))
    }
    owner?.write(message)
    if (!is(message, "Z")) return
    greeted = true
    owner = undefined
    next()
  })

  const attach = (client: Socket) => {
    let isOpen = false
    const said = messages((message) => {
      if (is(message, "X")) return client.end()
      if (owner === client) return void server!.write(message)
      waiting.push({ client, data: Buffer.from(message) })
      next()
    })
    client.on("data", (chunk) => {
      if (isOpen) return said(chunk)
      if (chunk.readInt32BE(4) === sslRequest) return void client.write("N")
      isOpen = true
      if (server !== undefined) return void client.write(Buffer.concat(greeting))
      owner = client
      server = connect(Number(target.port), target.hostname)
      server.on("data", fromServer).on("error", () => client.destroy())
      server.write(chunk)
    })
    client.on("error", () => undefined)
    clients.add(client)
  }

  const clients = new Set<Socket>()
  const listener = createServer(attach)
  yield* Effect.acquireRelease(
    Effect.promise(() => new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve))),
    () =>
      Effect.sync(() => {
        for (const client of clients) client.destroy()
        server?.destroy()
        listener.close()
      })
  )
  const through = new URL(url)
  through.port = String((listener.address() as AddressInfo).port)
  through.hostname = "127.0.0.1"
  return through.toString()
})
