/**
 * Counts what this process has not yet ended of each lease it claimed, so that the statement that ends the last of them
 * can remove the lease. It is only a hint: the store looks before it removes, and a lease left over is found by a beat.
 */
import type { LeaseId } from "../Store.ts"

export class OpenLeases {
  private readonly left = new Map<LeaseId, number>()

  claimed(jobs: ReadonlyArray<{ readonly lease: LeaseId }>): void {
    for (const { lease } of jobs) this.left.set(lease, (this.left.get(lease) ?? 0) + 1)
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
}
