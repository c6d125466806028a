/**
 * Counts what this process has not yet ended of each lease it claimed, so that the statement that ends the last of them
 * can remove the lease. It is only a hint: the store looks before it removes, and a lease left over is found by a beat.
 */
import type { LeaseId } from "../Store.ts"

export class OpenLeases {
  private readonly left = new Map<LeaseId, number>()
  private unknown: ReadonlyArray<LeaseId> = []

  claimed(lease: LeaseId, jobs: number): void {
    this.left.set(lease, jobs)
  }

  /** The leases that are over when these attempts have ended. */
  over(ends: ReadonlyArray<{ readonly lease: LeaseId }>): ReadonlyArray<LeaseId> {
    const over = new Set<LeaseId>()
    for (const { lease } of ends) {
      const left = (this.left.get(lease) ?? 1) - 1
      if (left > 0) {
        this.left.set(lease, left)
      } else {
        this.left.delete(lease)
        over.add(lease)
      }
    }
    return [...over]
  }

  /**
   * Forgets leases that others have ended: those the store did not know at two beats in a row. At one, a claim's answer
   * can have come before the beat's.
   */
  known(leases: ReadonlyArray<LeaseId>): void {
    const there = new Set(leases)
    for (const lease of this.unknown) if (!there.has(lease)) this.left.delete(lease)
    this.unknown = [...this.left.keys()].filter((lease) => !there.has(lease))
  }
}
