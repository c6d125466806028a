import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Settings from "../Settings.ts"
import type { WorkerRow } from "../store/Store.ts"
import type { ProcessRow } from "../store/Upkeep.ts"
import { millis, rounded } from "../texts.ts"
import { jsonFlag, schemaFlag } from "./flags.ts"
import type { Process, Workers } from "./shapes.ts"
import { withStore } from "./store.ts"
import { table } from "./table.ts"

export const workers = Command.make(
  "workers",
  { schema: schemaFlag, json: jsonFlag },
  Effect.fn(function* (flags) {
    const { staleAfter } = yield* Settings.read({ staleAfter: Settings.staleAfter })
    const { Store } = yield* Effect.promise(() => import("../store/Store.ts"))
    const reading = Effect.flatMap(Store, (store) => Effect.all([store.processes, store.workers]))
    const [processes, workers] = yield* withStore("workers", flags, reading)
    const told: typeof Workers.Type = {
      processes: processes.map((process) =>
        tell(
          process,
          workers.find(({ id }) => id === process.id),
          staleAfter
        )
      )
    }
    if (flags.json) return yield* Console.log(JSON.stringify(told))
    yield* Console.log(told.processes.length === 0 ? "No process is registered" : table(told.processes.map(rowOf)))
  })
).pipe(
  Command.withDescription("Show the processes that work or maintain: whether each lives, leads, and what it serves")
)

const tell = (
  { beatAge, declaredDead, id, lanes, leads, name, role, version }: ProcessRow,
  worker: WorkerRow | undefined,
  staleAfter: Duration.Duration
): typeof Process.Type => {
  const serves = Option.getOrUndefined(Option.flatMap(Option.fromUndefinedOr(worker), ({ serves }) => serves))
  const silent = Duration.isGreaterThan(beatAge, staleAfter)
  return {
    id: Number(id),
    name,
    role,
    release: Option.getOrNull(version),
    state: declaredDead ? "declared dead" : silent ? "silent" : "alive",
    leads,
    lastBeat: millis(beatAge),
    lanes,
    kinds: serves?.kinds ?? null,
    queues: serves?.queues ?? null
  }
}

const rowOf = ({ id, kinds, lanes, lastBeat, leads, name, queues, release, role, state }: typeof Process.Type) => ({
  id: `${id}`,
  name,
  role,
  release: release ?? "",
  state: leads ? `${state}, leads` : state,
  "last beat": `${rounded(Duration.millis(lastBeat))} ago`,
  lanes: lanes.length === 0 ? "" : `${lanes.length}`,
  queues: queues?.join(", ") ?? "",
  kinds: kinds?.join(", ") ?? ""
})
