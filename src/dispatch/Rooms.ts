/** The rooms of all queues of a worker: starts what may start, and says when asking for more is worth a claim. */
import type { JobId } from "../domain/Job.ts"
import type { Claimed, LeaseId } from "../store/Store.ts"
import { type Ask, Room } from "./Room.ts"

export interface RoomsOptions {
  readonly queues: ReadonlyMap<string, number>
  readonly start: (job: Claimed) => void
  /** Jobs of these leases are about to start. */
  readonly begin: (leases: ReadonlyArray<LeaseId>) => void
  readonly ask: (when: "now" | "soon") => void
}

export const longestHeld = 1_000 // milliseconds: what was claimed ahead and has not started by then is a peer's to run

export class Rooms {
  private readonly rooms: ReadonlyMap<string, Room>
  private readonly options: RoomsOptions
  private advancing = false
  private again = false
  /** Nothing starts any more. */
  closed = false

  constructor(options: RoomsOptions) {
    this.options = options
    this.rooms = new Map(Array.from(options.queues, ([queue, concurrency]) => [queue, new Room(queue, concurrency)]))
  }

  asks(now: number): ReadonlyArray<Ask> {
    return [...this.rooms.values()].flatMap((room) => room.ask(now) ?? [])
  }

  /** From here on, what somebody says to be there comes on top of what is asked for. */
  asked(asks: ReadonlyArray<Ask>, now: number): void {
    for (const { queue } of asks) {
      const room = this.rooms.get(queue)!
      room.more = false
      room.askedAt = now
    }
  }

  /** For how long a queue has not been looked into that nobody said anything of: at most, and 0 when there is none. */
  unseen(now: number): number {
    return Math.max(0, ...Array.from(this.rooms.values(), ({ askedAt, more }) => (more ? 0 : now - askedAt)))
  }

  /** There may be something by now in queues that were not looked into for so long. */
  expectIn(time: number, now: number): void {
    for (const room of this.rooms.values()) if (now - room.askedAt >= time) room.more = true
  }

  /** Somebody says that there is something to be had; of a queue, or of any. */
  expect(queue?: string): boolean {
    const rooms = queue === undefined ? [...this.rooms.values()] : [this.rooms.get(queue)]
    for (const room of rooms) if (room !== undefined) room.more = true
    return rooms.some((room) => room !== undefined)
  }

  /** What came of asking: where all was there that was asked for, or others took part of it, there may be more. */
  take(asks: ReadonlyArray<Ask>, jobs: ReadonlyArray<Claimed>, contended: boolean, now: number): void {
    for (const { ahead, limit, queue } of asks) {
      const got = jobs.reduce((sum, job) => sum + Number(job.queue === queue), 0)
      if ((contended && jobs.length > 0) || got >= limit + ahead) this.rooms.get(queue)!.more = true
    }
    for (const job of jobs) this.rooms.get(job.queue)!.hold(job, now)
    this.advance()
  }

  end({ queue }: Claimed): void {
    this.rooms.get(queue)!.end()
    this.advance()
  }

  begun(asked: ReadonlyArray<LeaseId>, ours: ReadonlySet<LeaseId>): void {
    for (const room of this.rooms.values()) room.begin(new Set(asked), ours)
    this.advance()
  }

  /** They are due again with the next job that ends. */
  notBegun(asked: ReadonlyArray<LeaseId>): void {
    for (const room of this.rooms.values()) room.notBegun(new Set(asked))
  }

  /** Lets go of what is held: all of it, or what was held for too long. */
  drop(now?: number): { readonly begun: ReadonlyArray<Claimed>; readonly leases: ReadonlyArray<LeaseId> } {
    const isOver = (since: number) => now === undefined || now - since > longestHeld
    const dropped = Array.from(this.rooms.values(), (room) => room.drop(isOver))
    return {
      begun: dropped.flatMap(({ begun }) => begun),
      leases: [...new Set(dropped.flatMap(({ ahead }) => ahead.map(({ lease }) => lease)))]
    }
  }

  /** Lets go of these jobs, if they are held. */
  dropJobs(ids: ReadonlyArray<JobId>): ReadonlyArray<Claimed> {
    return [...this.rooms.values()].flatMap((room) => room.dropJobs(new Set(ids)))
  }

  /** Whether one such job is held. */
  some(isSuch: (claimed: Claimed) => boolean): boolean {
    for (const room of this.rooms.values()) if (room.some(isSuch)) return true
    return false
  }

  get holding(): ReadonlyArray<Claimed> {
    return [...this.rooms.values()].flatMap(({ holding }) => holding)
  }

  private advance(): void {
    this.again = true
    if (this.advancing) return // a handler that ends at once comes back here, and a store that answers at once
    this.advancing = true
    while (this.again && !this.closed) {
      this.again = false
      for (const room of this.rooms.values()) this.advanceIn(room)
    }
    this.advancing = false
  }

  private advanceIn(room: Room): void {
    for (let job = room.next(); job !== undefined; job = room.next()) this.options.start(job)
    const due = room.due()
    if (due.length > 0) this.options.begin(due)
    if (room.more) this.options.ask(room.worthAsking ? "now" : "soon")
  }
}
