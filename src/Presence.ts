/**
 * Keeps a row of this process for as long as it runs, so that others see that it does: for a process that only
 * maintains, which has no worker's. When it was declared dead, in a silence, it begins another.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { jittered } from "./jitter.ts"
import { processName } from "./processName.ts"
import type { About, Store, WorkerId } from "./store/Store.ts"
import { version } from "./version.ts"

/** What this process is to others, if it leads by the name it has by default. */
export const describe = (role: About["role"], lanes: ReadonlyArray<{ readonly name: string }>): About => ({
  role,
  version,
  holder: processName,
  lanes: lanes.map(({ name }) => name)
})

const nothing = { kinds: [], queues: [] }

export class Presence {
  private id: WorkerId | undefined
  private store: Store["Service"]
  private readonly about: About

  constructor(store: Store["Service"], about: About) {
    this.store = store
    this.about = about
  }

  /** From now on, so that no connection is opened for it alone. */
  speakThrough(store: Store["Service"]): void {
    this.store = store
  }

  private readonly beat = Effect.suspend(() => {
    const begin = Effect.map(this.store.register(this.about.holder, nothing, this.about), (id) => void (this.id = id))
    if (this.id === undefined) return begin
    return Effect.flatMap(this.store.beat(this.id), ({ alive }) => (alive ? Effect.void : begin))
  }).pipe(Effect.catchCause((cause) => Effect.logDebug("Could not say that this process is there", cause)))

  private readonly leave = Effect.suspend(() =>
    this.id === undefined ? Effect.void : Effect.ignore(this.store.forget(this.id))
  ).pipe(Effect.timeoutOption("1 second"))

  /** Beats half as often as a worker: nobody waits for what it leaves behind. */
  keep(heartbeat: Duration.Duration, stopping: Deferred.Deferred<void>): Effect.Effect<void> {
    const every = Duration.times(heartbeat, 2)
    const goesOn = this.beat.pipe(Effect.andThen(Effect.flatMap(jittered(every), Effect.sleep)), Effect.forever)
    return goesOn.pipe(Effect.raceFirst(Deferred.await(stopping)), Effect.ensuring(this.leave), Effect.asVoid)
  }
}
