/**
 * Says what each role does and what it does not. The README and `lanekeeper --help` show it: one role never stands for
 * another. Roles compose in one process, which then does what any of them does.
 */
export interface Duties {
  readonly role: string
  readonly enqueues: boolean
  readonly claims: boolean
  /** It competes for the lead, and runs the lanes while it has it. */
  readonly leads: boolean
  readonly needs: "your handlers" | "no code"
}

export const duties: ReadonlyArray<Duties> = [
  { role: "worker", enqueues: false, claims: true, leads: true, needs: "your handlers" },
  { role: "maintenance", enqueues: false, claims: false, leads: true, needs: "no code" },
  { role: "client", enqueues: true, claims: false, leads: false, needs: "no code" }
]

const yes = (does: boolean) => (does ? "yes" : "no")

export const rows: ReadonlyArray<Readonly<Record<string, string>>> = duties.map((role) => ({
  role: role.role,
  "enqueues and reads": yes(role.enqueues),
  "claims and runs jobs": yes(role.claims),
  "leads and runs lanes": yes(role.leads),
  needs: role.needs
}))
