/**
 * The maintenance role: recovers at start, then competes for the lead and runs the lanes while it has it. It claims
 * nothing, runs no handler and needs none.
 */
import * as Layer from "effect/Layer"
import { MaintenanceOnly } from "../Dispatcher.ts"
import { Maintenance, type MaintenanceOptions } from "../lanes/Maintenance.ts"
import type { LifecycleOptions } from "../Lifecycle.ts"
import { Runtime } from "./Runtime.ts"

export interface Options extends MaintenanceOptions, LifecycleOptions {}

/** Ready when it is built, stopped when it is closed. */
export const layerMaintenanceOnly = (options: Options = {}) => over(Runtime.layer(options), options)

/** Built at once: starts as soon as the database lets it. */
export const layerMaintenanceOnlyBackground = (options: Options = {}) => over(Runtime.layerBackground(options), options)

const over = <E, R>(runtime: Layer.Layer<Runtime, E, R>, options: Options) =>
  runtime.pipe(Layer.provide(MaintenanceOnly), Layer.provide(Maintenance.layer(options)))
