/**
 * Remembers where the ready tickets of each turn begin, so that a claim need not read what was consumed before them.
 *
 * It matters while a snapshot is pinned somewhere in the database: consumed tickets then stay in the index, and walking
 * over them grows dear. While it is cheap every claim walks, and finds everything. When it is dear, claims begin at the
 * marks and look between the turns for new ones, and one walk a second, beside them, finds what lies below a mark: a
 * ticket whose number was taken early and committed late, or the rest of one that another claimer has split.
 */
export interface Turn {
  readonly queue: string
  readonly kind: string
  /** Twice the priority; one more for fresh tickets, which come after those that are ready again. */
  readonly turn: number
}

interface Mark extends Turn {
  mark: bigint
  /** Becomes the mark when `since` is long enough ago. */
  next: bigint
  since: number
  /** When a ticket was last seen in this turn. */
  seenAt: number
}

const dear = 250 // microseconds of a look: about what a small claim costs by itself
const walkEvery = 1_000 // milliseconds: one poll, the longest that a late commit may go unseen
const idle = 60_000 // milliseconds without a ticket, after which its mark is dropped
const lag = 100 // milliseconds: what commits a little out of order is found without waiting for the walk
const shortLag = 10 // milliseconds, when so much is taken that a mark of a tenth of a second ago is dear to begin at

export class Turns {
  private readonly marks = new Map<string, Mark>()
  private readonly queues = new Set<string>()
  private readonly kinds = new Set<string>()
  private cost = 0
  private last = 0
  private walkedAt = 0

  /** The marks to begin at: none while walking is cheap, and the claim walks. */
  known(queues: ReadonlyArray<string>, kinds: ReadonlyArray<string>): ReadonlyArray<Mark> {
    for (const queue of queues) this.queues.add(queue)
    for (const kind of kinds) this.kinds.add(kind)
    return this.cost < dear ? [] : [...this.marks.values()]
  }

  /** What the next walk beside the claims must cover, when it is time for one. */
  walkDue(now: number): { readonly queues: ReadonlyArray<string>; readonly kinds: ReadonlyArray<string> } | undefined {
    if (this.cost < dear || now - this.walkedAt < walkEvery) return undefined
    this.walkedAt = now
    return { queues: [...this.queues], kinds: [...this.kinds] }
  }

  /** A claim or a walk read from the start, and found what lay below the marks. */
  walked(turns: ReadonlyArray<readonly [Turn, bigint]>, micros: number, now: number): void {
    // The lower of two: a session's first look pays for its plan.
    this.cost = Math.min(micros, this.last)
    this.last = micros
    this.walkedAt = now
    for (const [turn, ticket] of turns) this.saw(turn, ticket, now)
    // While walking is cheap no claim is given a mark. When it is dear, those that are idle keep it from being dearer.
    if (this.cost >= dear) return
    for (const [key, { seenAt }] of this.marks) if (now - seenAt > idle) this.marks.delete(key)
  }

  /** A claim began at the marks. Those it has to walk far from follow it more closely. */
  followed(turns: ReadonlyArray<readonly [Turn, bigint]>, micros: number, now: number): void {
    for (const [turn, ticket] of turns) this.saw(turn, ticket, now, micros < dear / 2 ? lag : shortLag)
  }

  /** A ticket was there to be taken: what lies before it is consumed, or will be found by a walk. */
  private saw(turn: Turn, ticket: bigint, now: number, wait = lag): void {
    const key = `${turn.queue}\0${turn.kind}\0${turn.turn}`
    const entry = this.marks.get(key)
    if (entry === undefined) {
      const { kind, queue } = turn
      this.marks.set(key, { queue, kind, turn: turn.turn, mark: ticket, next: ticket, since: now, seenAt: now })
      return
    }
    entry.seenAt = now
    if (ticket < entry.mark) {
      Object.assign(entry, { mark: ticket, next: ticket, since: now })
    } else if (now - entry.since >= wait) {
      Object.assign(entry, { mark: entry.next, next: ticket, since: now })
    }
  }
}
