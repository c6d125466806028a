/** What a process is for: the server shows it with the connections that are opened for it. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

export type Role = "maintenance" | "worker"

export const Role = Context.Reference<Role | undefined>("lanekeeper/Role", {
  defaultValue: () => undefined
})

/** `lanekeeper maintenance leader` and such, as `pg_stat_activity` has it. */
export const applicationName = (part: string): Effect.Effect<string> =>
  Effect.map(Role, (role) => ["lanekeeper", role, part].filter((word) => word !== undefined).join(" "))
