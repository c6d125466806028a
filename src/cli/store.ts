/** Gives a command what it reads and moves with: the store and a client on it, at the end of one connection. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Settings from "../Settings.ts"

interface Flags {
  readonly schema: Option.Option<string>
}

export const withStore = <A, E, R>(command: string, flags: Flags, effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(ground(command, flags), (context) => Effect.provideContext(effect, context)).pipe(Effect.scoped)

const ground = Effect.fnUntraced(function* (command: string, flags: Flags) {
  const { directUrl, schema, url } = yield* Settings.read(Settings.storeSettings, flags)
  const { layerGround } = yield* Effect.promise(() => import("./ground.ts"))
  const { Client } = yield* Effect.promise(() => import("../Client.ts"))
  return yield* Layer.build(Layer.provideMerge(Client.layer, layerGround({ role: command, url, directUrl, schema })))
})
