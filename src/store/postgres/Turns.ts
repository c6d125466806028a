/**
 * Remembers where the ready tickets of each turn begin, so that a claim need not read what was consumed before them.
 *
 * It matters while a snapshot is pinned somewhere in the database: consumed tickets then stay in the index, and walking
 * over them grows dear. While it is cheap every claim walks, and finds everything. When it is dear, claims begin at the
 * marks and look between the turns for new ones, and one walk a second, beside them, finds what lies below a mark: a
 * ticket whose number was drawn early and committed late, or what another claimer left.
 *
 * The walks begin at what is *settled*. Who drew a number below a mark had a transaction then, and once none that was
 * open when a walk looked is open any more, the next walk has seen all that comes below the marks the first was sent
 * with. While a writer is stuck nothing is settled, and walks go as far back as it takes. What is put where nothing
 * comes any more is left to whole walks, which are rarer: jobs that aging lifts to a better turn keep their number, and
 * a transaction may have drawn one before it had an id of its own.
 */
export interface Turn {
  readonly queue: string
  readonly kind: string
  /** Twice the priority; one more for fresh tickets, which come after those that are ready again. */
  readonly turn: number
}

/**
 * The last ticket that a claim took of a turn, or the first it found held by another, who may leave some of it. When its
 * number was drawn, or no earlier than it was.
 */
export interface Taken extends Turn {
  readonly ticket: bigint
  readonly drawnAt: number
}

interface Found extends Turn {
  readonly ticket: bigint
}

interface Mark extends Turn {
  readonly key: string
  mark: bigint
  /** Becomes the mark when its number was drawn long enough ago. */
  next: bigint
  nextAt: number
  /** Where walks begin. */
  settled: bigint
  /** When a ticket was last seen in this turn. */
  seenAt: number
}

export interface Walk {
  readonly queues: ReadonlyArray<string>
  readonly kinds: ReadonlyArray<string>
  readonly whole: boolean
  /** Where each turn that is known begins for it, and where for claims when it was sent. */
  readonly turns: ReadonlyArray<Turn & { readonly key: string; readonly from: bigint; readonly mark: bigint }>
}

export interface Walked {
  /** The lowest ticket of each turn. */
  readonly found: ReadonlyArray<Found>
  /** Every transaction before this one was over, for the snapshot it read with. */
  readonly xmin: bigint
  /** None from this one on had begun. */
  readonly xmax: bigint
  /** How long it took in the server. */
  readonly micros: number
}

const dear = 250 // microseconds of a look: about what a small claim costs by itself
const walkEvery = 1_000 // milliseconds: one poll, the longest that a late commit may go unseen
const wholeEvery = 10_000 // milliseconds: aging goes by the minute
const share = 30 // of the time, at most, for whole walks
const idle = 60_000 // milliseconds without a ticket, after which its mark is dropped
const lag = 100 // milliseconds: what commits a little out of order is found without waiting for the walk

export class Turns {
  private readonly marks = new Map<string, Mark>()
  private readonly queues = new Set<string>()
  private readonly kinds = new Set<string>()
  /** The walk whose marks are settled when all transactions it saw open are over. */
  private unsettled: { readonly walk: Walk; readonly xmax: bigint } | undefined
  private cost = 0
  private last = 0
  private walkedAt = 0
  private wholeAt = -Infinity

  /** The marks to begin at: none while walking is cheap, and the claim walks. */
  known(queues: ReadonlyArray<string>, kinds: ReadonlyArray<string>): ReadonlyArray<Mark> {
    for (const queue of queues) this.queues.add(queue)
    for (const kind of kinds) this.kinds.add(kind)
    return this.cost < dear ? [] : [...this.marks.values()]
  }

  /** A claim took these. It looked from the start, for so long, or began at the marks. */
  claimed(turns: ReadonlyArray<Taken>, now: number, micros?: number): void {
    if (micros !== undefined) {
      this.walkedAt = now
      this.costs(micros, now)
    }
    for (const turn of turns) this.took(turn, now)
  }

  /** What the next walk beside the claims must cover, when it is time for one. */
  walkDue(now: number): Walk | undefined {
    if (this.cost < dear || now - this.walkedAt < walkEvery) return undefined
    this.walkedAt = now
    const whole = now - this.wholeAt >= Math.max(wholeEvery, (this.cost / 1_000) * share)
    if (whole) this.wholeAt = now
    const turns = [...this.marks.values()].map((entry) => ({ ...entry, from: whole ? 0n : entry.settled }))
    return { queues: [...this.queues], kinds: [...this.kinds], whole, turns }
  }

  walked(walk: Walk, { found, micros, xmax, xmin }: Walked, now: number): void {
    if (walk.whole) this.costs(micros, now)
    for (const turn of found) {
      const entry = this.entry(turn, now)
      if (turn.ticket < entry.mark) Object.assign(entry, { mark: turn.ticket, next: turn.ticket, nextAt: now })
    }
    if (this.unsettled !== undefined && xmin < this.unsettled.xmax) return
    for (const { key, mark } of this.unsettled?.walk.turns ?? []) {
      const entry = this.marks.get(key)
      if (entry === undefined) continue
      const seen = mark < entry.mark ? mark : entry.mark
      if (seen > entry.settled) entry.settled = seen
    }
    this.unsettled = { walk, xmax }
  }

  /** Of looks over all there is. */
  private costs(micros: number, now: number): void {
    // The lower of two: a session's first look pays for its plan.
    this.cost = Math.min(micros, this.last)
    this.last = micros
    // While walking is cheap no claim is given a mark. When it is dear, those that are idle keep it from being dearer.
    if (this.cost >= dear) return
    for (const [key, { seenAt }] of this.marks) if (now - seenAt > idle) this.marks.delete(key)
  }

  /** What lies before it is consumed, or will be found by a walk. A claim that began before others may find less far. */
  private took(taken: Taken, now: number): void {
    const entry = this.entry(taken, now)
    if (taken.ticket < entry.mark) entry.mark = taken.ticket
    else if (now - taken.drawnAt >= lag) entry.mark = taken.ticket
    else if (now - entry.nextAt >= lag) entry.mark = entry.next
    else return
    Object.assign(entry, { next: taken.ticket, nextAt: taken.drawnAt })
  }

  private entry({ kind, queue, ticket, turn }: Found, now: number): Mark {
    const key = `${queue}\0${kind}\0${turn}`
    const fresh = { key, queue, kind, turn, mark: ticket, next: ticket, nextAt: now, settled: 0n, seenAt: now }
    const entry = this.marks.get(key) ?? fresh
    entry.seenAt = now
    this.marks.set(key, entry)
    return entry
  }
}
