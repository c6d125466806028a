import { hostname } from "node:os"

/** What others know this process by, as worker and as leader, where nobody gives it another name. */
export const processName = `${hostname()}:${process.pid}`
