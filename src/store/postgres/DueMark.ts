/**
 * Remembers up to when nothing is due any more, so that promoting need not read what was promoted before.
 *
 * It matters while a snapshot is pinned somewhere in the database: promoted rows then stay at the head of the index, and
 * walking over them grows dear. While it is cheap every run walks over all of it. When it is dear, runs begin a little
 * before the last one that left nothing behind, and a walk over all comes as often as it may cost a hundredth of the
 * time: it finds what was written late with a time that had passed.
 */
const dear = 2_000 // microseconds of a walk, beside what the moved rows take: about what a run of a hundred jobs costs
const perRow = 25 // microseconds
const walkEvery = 1_000 // milliseconds, at least
const share = 100
const slack = 1_000 // milliseconds: what commits a little late is found without waiting for the walk

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

  /** It took this many microseconds in the server, and moved so many of at most `limit`. */
  ran(began: number, lookedBack: number | null, micros: number, moved: number, limit: number): void {
    if (lookedBack === null) {
      this.cost = Math.max(0, micros - moved * perRow)
      this.walkedAt = began
    }
    if (moved < limit) this.cleanAt = began
  }
}
