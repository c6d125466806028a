/**
 * The room one queue has in this process: how many attempts run, which jobs are held for the next ones, and what to ask
 * the store for.
 *
 * Jobs are held ahead only as many as end here in a moment, so that a claim's way to the store and back is not waited
 * for. They are nobody's yet: until they begin, a rescue charges them nothing and a peer gets them back unpaid. As soon
 * as some are to begin, the next are asked for: those are on their way while these run.
 */
import type { JobId } from "../domain/Job.ts"
import type { Claimed, LeaseId } from "../store/Store.ts"

export interface Ask {
  readonly queue: string
  readonly limit: number
  readonly ahead: number
}

interface Held {
  readonly claimed: Claimed
  readonly since: number
}

const moment = 25 // milliseconds: how much work is held ahead, and as much again that begins
const most = 1_000 // jobs held ahead: while they begin and end, a claim brings the next
const sample = 10 // milliseconds: a rate of less says nothing

export class Room {
  running = 0
  /** The store had all that was asked for last, or somebody said that there is something. */
  more = true
  /** When the store was last asked, and had less. */
  askedAt = -Infinity
  private ahead: Array<Held> = []
  /** The store is told that they begin. */
  private beginning: Array<Held> = []
  private begun: Array<Held> = []
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
    const unspoken = this.free - this.begun.length - this.beginning.length
    const limit = Math.max(0, unspoken - this.ahead.length)
    const target = this.target(now)
    const ahead = Math.max(0, target - Math.max(0, this.ahead.length - Math.max(0, unspoken)))
    if (limit === 0 && ahead * 2 < target) return undefined // nobody waits for it: few large claims cost less than many
    return limit + ahead === 0 ? undefined : { queue: this.queue, limit, ahead }
  }

  /** Whether asking now is worth a claim, rather than when a little more is free. */
  get worthAsking(): boolean {
    if (!this.more) return false
    const free = this.free - this.begun.length - this.beginning.length - this.ahead.length
    return this.running === 0 || free * 2 >= this.concurrency || (this.rate > 0 && this.ahead.length * 2 <= this.wanted)
  }

  hold(claimed: Claimed, now: number): void {
    const list = claimed.begun ? this.begun : this.ahead
    list.push({ claimed, since: now })
  }

  /** The next job to start, if one may. */
  next(): Claimed | undefined {
    if (this.free <= 0) return undefined
    const next = this.begun.shift()
    if (next !== undefined) this.running++
    return next?.claimed
  }

  end(): void {
    this.running--
    this.ended++
  }

  /** Leases whose jobs are about to start, and have to begin first: they are beginning from here on. */
  due(): ReadonlyArray<LeaseId> {
    if (this.free <= 0 || this.ahead.length === 0) return []
    const soon = Math.max(this.free, Math.ceil(this.rate * sample)) - this.begun.length - this.beginning.length
    if (soon <= 0) return []
    const leases = new Set(this.ahead.slice(0, soon).map(({ claimed }) => claimed.lease))
    const [beginning, ahead] = parted(this.ahead, leases)
    this.beginning.push(...beginning)
    this.ahead = ahead
    return [...leases]
  }

  /** Of those that were asked for, some are ours: they may start. The others are not to be had. */
  begin(asked: ReadonlySet<LeaseId>, ours: ReadonlySet<LeaseId>): void {
    const [said, beginning] = parted(this.beginning, asked)
    this.beginning = beginning
    this.begun.push(...parted(said, ours)[0])
  }

  /** They could not begin, and are due again. */
  notBegun(asked: ReadonlySet<LeaseId>): void {
    const [said, beginning] = parted(this.beginning, asked)
    this.beginning = beginning
    this.ahead.unshift(...said)
  }

  /** Lets go of what is held for too long, or of all; but not of what is just beginning. */
  drop(isOver: (since: number) => boolean): Record<"begun" | "ahead", ReadonlyArray<Claimed>> {
    const of = (held: ReadonlyArray<Held>) => held.filter(({ since }) => isOver(since)).map(({ claimed }) => claimed)
    const dropped = { begun: of(this.begun), ahead: of(this.ahead) }
    this.begun = this.begun.filter(({ since }) => !isOver(since))
    this.ahead = this.ahead.filter(({ since }) => !isOver(since))
    return dropped
  }

  dropJobs(ids: ReadonlySet<JobId>): ReadonlyArray<Claimed> {
    const dropped = this.holding.filter(({ id }) => ids.has(id))
    if (dropped.length === 0) return dropped
    const without = (held: ReadonlyArray<Held>) => held.filter(({ claimed }) => !ids.has(claimed.id))
    this.begun = without(this.begun)
    this.beginning = without(this.beginning)
    this.ahead = without(this.ahead)
    return dropped
  }

  some(isSuch: (claimed: Claimed) => boolean): boolean {
    return [this.begun, this.beginning, this.ahead].some((held) => held.some(({ claimed }) => isSuch(claimed)))
  }

  get holding(): ReadonlyArray<Claimed> {
    return [...this.begun, ...this.beginning, ...this.ahead].map(({ claimed }) => claimed)
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

/** Those of some leases, and the rest. */
const parted = (held: ReadonlyArray<Held>, leases: ReadonlySet<LeaseId>): [Array<Held>, Array<Held>] => {
  const [theirs, rest]: [Array<Held>, Array<Held>] = [[], []]
  for (const one of held) (leases.has(one.claimed.lease) ? theirs : rest).push(one)
  return [theirs, rest]
}
