/** The layers an app provides. Each role is one of them; all stand on a store. */
import { Client } from "./Client.ts"

export { layerMemory, layerPostgres, layerPostgresConfig, type PostgresOptions } from "./roles/ground.ts"

/** The client role: enqueues and reads, and does nothing else. */
export const layerClient = Client.layer

export { type EventsOptions, layerSink as layerEvents } from "./Events.ts"

export {
  layerMaintenanceOnly,
  layerMaintenanceOnlyBackground,
  type Options as MaintenanceOptions
} from "./roles/maintenance.ts"

export { layerWorker, layerWorkerBackground, type Options as WorkerOptions } from "./roles/worker.ts"

export { tick, type Tick, type TickOptions } from "./lanes/tick.ts"
