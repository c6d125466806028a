/** Writes what running attempts note: the last of each name, at most once a second for all of them, and before they end. */
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import { isBadRow } from "../store/postgres/apart.ts"
import { rootMessage } from "../store/postgres/DatabaseError.ts"
import type { NewNote, Store, WorkerId } from "../store/Store.ts"

const every = "1 second" // often enough for a progress bar

export interface NotebookOptions {
  readonly store: Store["Service"]
  readonly worker: () => WorkerId
}

export class Notebook {
  private pending = new Map<string, NewNote>()
  private readonly options: NotebookOptions

  constructor(options: NotebookOptions) {
    this.options = options
  }

  write(note: NewNote): void {
    this.pending.set(`${note.id} ${note.name}`, note)
  }

  drop(): void {
    this.pending.clear()
  }

  /**
   * What cannot be written now is written with the next, unless it is out of date by then. Nothing else fails by it. One
   * at a time: what somebody else is writing is written before whoever asked goes on.
   */
  readonly flush: Effect.Effect<void> = Semaphore.makeUnsafe(1).withPermits(1)(
    Effect.suspend(() => {
      if (this.pending.size === 0) return Effect.void
      const notes = this.pending
      this.pending = new Map()
      return this.options.store.note(this.options.worker(), [...notes.values()]).pipe(
        Effect.catch((error) => {
          if (!isBadRow(error)) this.pending = new Map([...notes, ...this.pending])
          return Effect.logDebug("Notes could not be written", { notes: notes.size, reason: rootMessage(error) })
        })
      )
    })
  )

  readonly writing: Effect.Effect<never> = Effect.forever(Effect.andThen(Effect.sleep(every), this.flush))
}
