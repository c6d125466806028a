/**
 * What `--json` prints, as Schemas. Lengths of time are milliseconds, times ISO 8601, and what is not there is null.
 *
 * Fields are added, never renamed: scripts read them.
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { places } from "../domain/Job.ts"
import type { HistoryLine, JobView } from "../store/Store.ts"
import { messageOf } from "../texts.ts"

const Nullable = Schema.NullOr

export const JobLine = Schema.Struct({
  id: Schema.String,
  kind: Schema.String,
  queue: Schema.String,
  priority: Schema.Int,
  place: Schema.Literals(places),
  attempt: Schema.Int,
  failures: Schema.Int,
  crashes: Schema.Int,
  enqueuedAt: Schema.String,
  due: Nullable(Schema.String),
  reason: Nullable(Schema.String)
})

export const JobDetails = Schema.Struct({
  ...JobLine.fields,
  payload: Schema.Unknown,
  details: Schema.Unknown,
  history: Schema.Array(
    Schema.Struct({
      attempt: Schema.Int,
      state: Schema.String,
      worker: Nullable(Schema.Int),
      reason: Nullable(Schema.String),
      error: Schema.Unknown,
      output: Schema.Unknown
    })
  )
})

/** `next` is what `--after` takes for the page that follows. */
export const JobPage = Schema.Struct({ jobs: Schema.Array(JobLine), next: Nullable(Schema.String) })

export const Enqueued = Schema.Struct({
  id: Schema.String,
  outcome: Schema.Literals(["enqueued", "kept", "debounced", "replaced", "merged"]),
  former: Nullable(Schema.String)
})

/** What became of each job a command was to move. */
export const Moved = Schema.Struct({
  results: Schema.Array(
    Schema.Struct({ id: Schema.String, outcome: Nullable(Schema.String), error: Nullable(Schema.String) })
  )
})

/** How many jobs a filter moved, and how many were left because another job has their unique key. */
export const MovedMany = Schema.Struct({ outcome: Schema.String, jobs: Schema.Int, keyTaken: Schema.Int })

export const Process = Schema.Struct({
  id: Schema.Int,
  name: Schema.String,
  role: Schema.String,
  release: Nullable(Schema.String),
  state: Schema.Literals(["alive", "silent", "declared dead"]),
  leads: Schema.Boolean,
  lastBeat: Schema.Int,
  lanes: Schema.Array(Schema.String),
  kinds: Nullable(Schema.Array(Schema.String)),
  queues: Nullable(Schema.Array(Schema.String))
})

export const Workers = Schema.Struct({ processes: Schema.Array(Process) })

const Count = Schema.Finite

/** The rates are over the time between the last two counts; null before the second. */
export const Queue = Schema.Struct({
  queue: Schema.String,
  paused: Schema.Boolean,
  scheduled: Count,
  ready: Count,
  running: Count,
  waiting: Count,
  dead: Count,
  oldest: Nullable(Schema.Int),
  enqueuedPerSecond: Nullable(Schema.Finite),
  finishedPerSecond: Nullable(Schema.Finite)
})

/** `counted` is how long ago; null before the first count. */
export const Queues = Schema.Struct({ counted: Nullable(Schema.Int), queues: Schema.Array(Queue) })

export const QueueState = Schema.Struct({ queue: Schema.String, paused: Schema.Boolean })

export const Finding = Schema.Struct({
  check: Schema.String,
  verdict: Schema.Literals(["fine", "notice", "wrong"]),
  cause: Schema.String,
  remedy: Nullable(Schema.String)
})

export const Diagnosis = Schema.Struct({ healthy: Schema.Boolean, findings: Schema.Array(Finding) })

export const Explanation = Schema.Struct({
  id: Schema.String,
  place: Schema.Literals(places),
  reasons: Schema.Array(Schema.Struct({ cause: Schema.String, remedy: Nullable(Schema.String), stuck: Schema.Boolean }))
})

export const Configuration = Schema.Struct({
  settings: Schema.Array(
    Schema.Struct({
      variable: Schema.String,
      value: Schema.String,
      from: Schema.Literals(["flag", "environment", "default"]),
      fault: Nullable(Schema.String)
    })
  ),
  unknown: Schema.Array(Schema.String)
})

export const SettingsList = Schema.Array(
  Schema.Struct({
    variable: Schema.String,
    option: Nullable(Schema.String),
    flag: Nullable(Schema.String),
    meaning: Schema.String,
    default: Schema.String,
    readers: Schema.String
  })
)

export const Lane = Schema.Struct({
  lane: Schema.String,
  class: Schema.String,
  interval: Schema.Finite,
  quietHour: Nullable(Schema.Int),
  batch: Schema.Int,
  budget: Schema.Finite
})

export const Lanes = Schema.Struct({
  leader: Schema.Struct({ term: Schema.Int, holder: Nullable(Schema.String), leading: Schema.Int }),
  lanes: Schema.Array(
    Schema.Struct({
      ...Lane.fields,
      last: Nullable(
        Schema.Struct({
          ago: Schema.Int,
          took: Schema.Int,
          rows: Schema.Int,
          failures: Schema.Int,
          error: Nullable(Schema.String)
        })
      )
    })
  )
})

/** What the database says when `dev` has ended: jobs by place, attempts by how they ended, the last term. */
export const DevSummary = Schema.Struct({
  took: Schema.Int,
  places: Schema.Record(Schema.String, Schema.Int),
  attempts: Schema.Record(Schema.String, Schema.Int),
  term: Schema.Int,
  lanes: Schema.Array(Schema.Struct({ lane: Schema.String, rows: Schema.Int, error: Nullable(Schema.String) }))
})

/** Milliseconds. `of100` is what 99 of 100 stay below; null where single times mean nothing, or a rate does. */
export const Measure = Schema.Struct({
  measure: Schema.Literals(["pickup", "enqueue", "enqueue-many", "run"]),
  jobs: Schema.Int,
  perSecond: Nullable(Schema.Int),
  median: Nullable(Schema.Finite),
  of100: Nullable(Schema.Finite),
  longest: Nullable(Schema.Finite)
})

export const Bench = Schema.Struct({
  server: Schema.Struct({
    version: Schema.String,
    fsync: Schema.String,
    synchronousCommit: Schema.String,
    roundTrip: Schema.Finite,
    commit: Schema.Finite
  }),
  options: Schema.Struct({
    jobs: Schema.Int,
    seconds: Schema.Int,
    concurrency: Schema.Int,
    producers: Schema.Int,
    payloadBytes: Schema.Int
  }),
  measures: Schema.Array(Measure)
})

export const Tick = Schema.Struct({
  ran: Schema.Array(
    Schema.Struct({
      lane: Schema.String,
      rows: Schema.Record(Schema.String, Schema.Int),
      batches: Schema.Int,
      took: Schema.Finite,
      drained: Schema.Boolean,
      error: Nullable(Schema.String)
    })
  ),
  left: Schema.Array(Schema.String)
})

/** The reason a job gives for where it stands: its last line's. */
export const reasonOf = ({ history }: JobView): string | null => {
  const last = history.at(-1)
  return last === undefined ? null : (last.reason ?? messageOf(last.error))
}

export const jobLine = (view: JobView): typeof JobLine.Type => ({
  id: view.id,
  kind: view.kind,
  queue: view.queue,
  priority: view.priority,
  place: view.place,
  attempt: view.attempt,
  failures: view.failures,
  crashes: view.crashes,
  enqueuedAt: DateTime.formatIso(view.enqueuedAt),
  due: Option.getOrNull(Option.map(view.due, DateTime.formatIso)),
  reason: reasonOf(view)
})

const historyLine = ({ attempt, error, output, reason, state, worker }: HistoryLine) => ({
  attempt,
  state,
  worker: Option.getOrNull(Option.map(worker, Number)),
  reason,
  error,
  output
})

export const jobDetails = (view: JobView): typeof JobDetails.Type => ({
  ...jobLine(view),
  payload: view.payload,
  details: view.details,
  history: view.history.map(historyLine)
})
