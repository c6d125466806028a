/**
 * The room one queue has in this process: how many attempts run, which jobs are held for the next ones, and what to ask
 * the store for.
 *
 * Jobs are held ahead only as many as end here in a moment, so that a claim's way to the store and back is not waited
 * for. They are nobody's yet: until they begin, a rescue charges them nothing and a peer gets them back unpaid.
 */
import type { Claimed, LeaseId } from "../store/Store.ts"

export interface Ask {
  readonly queue: string
  readonly limit: number
  readonly ahead: number
}

interface Held {
  readonly claimed: Claimed
  readonly since: number
  begun: boolean
}

const moment = 50 // milliseconds: how much work is held ahead
const most = 1_000 // jobs held ahead: while half of them begin and end, a claim brings the other half
const sample = 10 // milliseconds: a rate of less says nothing

export class Room {
  running = 0
  /** The store had all that was asked for last, or somebody said that there is something. */
  more = true
  /** When the store was last asked, and had less. */
  askedAt = -Infinity
  private held: Array<Held> = []
  private ended = 0
  private rate = 0
  private sampledAt: number | undefined
  private wanted = 0

  readonly queue: string
  readonly concurrency: number

  constructor(queue: string, concurrency: number) {
    this.queue = queue
    this.concurrency = concurrency
  }

  /** What there is room for. Undefined: nothing, or nothing is expected. */
  ask(now: number): Ask | undefined {
    if (!this.more) return undefined
    const limit = Math.max(0, this.free - this.held.length)
    const target = this.target(now)
    const ahead = Math.max(0, target - Math.max(0, this.held.length - this.free))
    if (limit === 0 && ahead * 2 < target) return undefined // nobody waits for it: few large claims cost less than many
    return limit + ahead === 0 ? undefined : { queue: this.queue, limit, ahead }
  }

  /** Whether asking now is worth a claim, rather than when a little more is free. */
  get worthAsking(): boolean {
    if (!this.more) return false
    const free = this.free - this.held.length
    return this.running === 0 || free * 2 >= this.concurrency || (this.rate > 0 && this.held.length * 2 <= this.wanted)
  }

  hold(claimed: Claimed, now: number): void {
    this.held.push({ claimed, since: now, begun: claimed.begun })
  }

  /** The next job to start, if one may. */
  next(): Claimed | undefined {
    if (this.free <= 0 || this.held[0]?.begun !== true) return undefined
    this.running++
    return this.held.shift()!.claimed
  }

  end(): void {
    this.running--
    this.ended++
  }

  /** Leases whose jobs are about to start, and have to begin first. */
  due(): ReadonlyArray<LeaseId> {
    const soon = Math.max(this.free, Math.ceil(this.rate * sample))
    if (this.free <= 0) return []
    return [...new Set(this.held.slice(0, soon).flatMap(({ begun, claimed }) => (begun ? [] : [claimed.lease])))]
  }

  begin(leases: ReadonlySet<LeaseId>): void {
    for (const job of this.held) if (leases.has(job.claimed.lease)) job.begun = true
  }

  /** Lets go of what is held and matches. */
  drop(which: (claimed: Claimed, begun: boolean, since: number) => boolean): ReadonlyArray<Claimed> {
    const dropped = this.held.filter(({ begun, claimed, since }) => which(claimed, begun, since))
    if (dropped.length > 0) this.held = this.held.filter((job) => !dropped.includes(job))
    return dropped.map(({ claimed }) => claimed)
  }

  get holding(): ReadonlyArray<Claimed> {
    return this.held.map(({ claimed }) => claimed)
  }

  private get free(): number {
    return this.concurrency - this.running
  }

  private target(now: number): number {
    const elapsed = now - (this.sampledAt ?? now)
    this.sampledAt ??= now
    if (elapsed >= sample) {
      const measured = this.ended / elapsed
      this.rate = elapsed > 4 * moment ? measured : (this.rate + measured) / 2
      this.ended = 0
      this.sampledAt = now
    }
    this.wanted = Math.min(most, Math.floor(this.rate * moment))
    return this.wanted
  }
}
