import { shelves } from "./migrations/jobs/tables.ts"
/** The text that writes a job's next pointer, for statements that have consumed the one before. */
export const pointers = (schema: string) => {
  const shelf = `(
      SELECT floor(extract(epoch FROM clock_timestamp()) / extract(epoch FROM shelf_period))::bigint % ${shelves} FROM ${schema}.ring
    )`
  return {
    ticketColumns:
      "id, again, size, shelf, turn, jobs, attempt, failures, crashes, deadline_ms, slot, priority, queue, kind",
    /** A ticket for one job that is ready again, from a pointer's columns. */
    ticketOf: (attempt: string, priority = "priority", queue = "queue") =>
      `nextval('${schema}.pointer_number'), job, 1, ${shelf}, 2 * ${priority}, int8multirange(int8range(job, job, '[]')),
        ${attempt}, failures, crashes, deadline_ms, slot, ${priority}, ${queue}, kind`,
    timedColumns: "job, run_at, attempt, failures, crashes, deadline_ms, slot, priority, queue, kind",
    timedOf: (attempt: string, milliseconds: string) =>
      `job, clock_timestamp() + ${milliseconds} * interval '1 ms', ${attempt}, failures, crashes, deadline_ms, slot, priority, queue, kind`
  }
}
