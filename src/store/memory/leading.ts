/** Who leads, under which term, and how the lanes ran. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { LaneRun, Leader, Term } from "../Store.ts"
import type { Contents, Time } from "./Contents.ts"

export const leader = ({ leader: { holder, since, term } }: Contents, now: Time): Leader => ({
  term: term as Term,
  holder: Option.fromUndefinedOr(holder),
  leading: holder === undefined ? Duration.zero : Duration.millis(now - since)
})

export const takeLead = (
  contents: Contents,
  now: Time,
  { holder, lease }: { readonly holder: string; readonly lease: Duration.Duration }
): Option.Option<Term> => {
  if (contents.leader.until > now) return Option.none()
  contents.leader = {
    term: contents.leader.term + 1n,
    holder,
    since: now,
    until: now + Duration.toMillis(lease)
  }
  return Option.some(contents.leader.term as Term)
}

export const keepLead = ({ leader }: Contents, now: Time, term: Term, lease: Duration.Duration): boolean => {
  if (leader.term !== term || leader.holder === undefined) return false
  leader.until = now + Duration.toMillis(lease)
  return true
}

export const resign = ({ leader }: Contents, _now: Time, term: Term): void => {
  if (leader.term === term) Object.assign(leader, { holder: undefined, until: -Infinity })
}

export const recordRuns = (contents: Contents, now: Time, runs: ReadonlyArray<LaneRun>): void => {
  for (const run of runs) {
    contents.laneRuns.set(run.lane, {
      lane: run.lane,
      startedAt: now - Duration.toMillis(run.age),
      took: Duration.toMillis(run.took),
      rows: run.rows,
      failures: run.failures,
      error: run.error
    })
  }
}

export const laneRuns = (contents: Contents, now: Time): ReadonlyArray<LaneRun> =>
  [...contents.laneRuns.values()]
    .map(({ startedAt, took, ...run }) => ({
      ...run,
      age: Duration.millis(now - startedAt),
      took: Duration.millis(took)
    }))
    .toSorted((a, b) => (a.lane < b.lane ? -1 : 1))
