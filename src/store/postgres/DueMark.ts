/**
 * Remembers up to when nothing is due any more, so that promoting need not read what was promoted before.
 *
 * It matters while a snapshot is pinned somewhere in the database: promoted rows then stay at the head of the index, and
 * walking over them grows dear. While it is cheap every run walks over all of it. When it is dear, runs begin a little
 * before the last one that left nothing behind, and a walk over all comes as often as it may cost a hundredth of the
 * time: it finds what was written late with a time that had passed.
 */
const large = 1_048_576 // bytes of the index; a smaller one is walked in no time, and when it took longer it was not the walk
const dear = 2_000 // microseconds of a walk, beside what the moved rows take: about what a run of a hundred jobs costs
const perRow = 25 // microseconds
const walkEvery = 1_000 // milliseconds, at least
const share = 100
const slack = 1_000 // milliseconds: what commits a little late is found without waiting for the walk

interface Ran {
  /** How long it took in the server. */
  readonly micros: number
  /** Of the index that was walked. */
  readonly bytes: number
  readonly moved: number
  readonly limit: number
}

export class DueMark {
  private cleanAt: number | undefined
  private walkedAt = -Infinity
  private cost = 0

  /** How far back the run that begins now must look, in milliseconds. `null`: over all of it. */
  lookBack(now: number): number | null {
    const walkAgain = Math.max(walkEvery, (this.cost / 1_000) * share)
    if (this.cleanAt === undefined || this.cost < dear || now - this.walkedAt >= walkAgain) return null
    return now - this.cleanAt + slack
  }

  ran(began: number, lookedBack: number | null, { bytes, limit, micros, moved }: Ran): void {
    if (lookedBack === null) {
      this.cost = bytes < large ? 0 : Math.max(0, micros - moved * perRow)
      this.walkedAt = began
    }
    if (moved < limit) this.cleanAt = began
  }
}
