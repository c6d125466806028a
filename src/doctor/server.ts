/** What the server says about itself: whether it lets Lanekeeper work, and who else is in its way. */
import * as Duration from "effect/Duration"
import type { Facts, Pin } from "../store/postgres/facts.ts"
import { counted, rounded } from "../texts.ts"
import { fine, type Finding, notice, orFine, wrong } from "./Finding.ts"

/** The connections a leader of maintenance has, and two to look with. */
export const connectionsNeeded = 7

const skewAllowed = Duration.seconds(2)

export const server = (
  facts: Facts,
  here: { readonly now: number; readonly spread: number }
): ReadonlyArray<Finding> => [
  ...writable(facts),
  ...clock(facts, here),
  ...connections(facts),
  ...snapshots(facts),
  ...holders(facts),
  ...publications(facts)
]

const writable = ({ server: { readOnly, version } }: Facts): ReadonlyArray<Finding> => [
  readOnly
    ? wrong(
        "database",
        `The server (PostgreSQL ${version}) takes no writes: it is a standby, or read-only`,
        "point DATABASE_URL at the primary, or set default_transaction_read_only to off"
      )
    : fine("database", `PostgreSQL ${version} takes writes`)
]

/** What is due is decided by the server's clock alone; times given from here are read from this one. */
const clock = ({ server }: Facts, { now, spread }: { readonly now: number; readonly spread: number }) => {
  const ahead = now - server.now
  const skew = Duration.millis(Math.abs(ahead))
  if (Duration.isLessThanOrEqualTo(skew, Duration.sum(skewAllowed, Duration.millis(spread)))) {
    return [fine("clock", "This machine's clock and the server's agree")]
  }
  return [
    wrong(
      "clock",
      `This machine's clock is ${rounded(skew)} ${ahead > 0 ? "ahead of" : "behind"} the server's: a \`runAt\` computed here means another moment there`,
      "let both keep time by NTP; nothing is lost meanwhile, for the server's clock alone decides what is due"
    )
  ]
}

const connections = ({ server: { boundBy, connectionLimit, connectionsLeft } }: Facts) => {
  const left = `${counted(Math.max(0, connectionsLeft), "connection")} of ${connectionLimit}`
  if (connectionsLeft >= connectionsNeeded) return [fine("connections", `${left} are left`)]
  const raise = {
    server: "raise max_connections",
    database: "raise the database's CONNECTION LIMIT",
    role: "raise this role's CONNECTION LIMIT"
  }[boundBy]
  return [
    wrong(
      "connections",
      `${left} (the limit of the ${boundBy}) ${connectionsLeft === 1 ? "is" : "are"} left, and a leader of maintenance takes 5`,
      `${raise}, or let other clients use fewer`
    )
  ]
}

const snapshots = ({ pins, server }: Facts): ReadonlyArray<Finding> => {
  const unseen = server.seesOthers
    ? []
    : [
        notice(
          "snapshots",
          "This login does not see what other logins do: who pins a snapshot is not told",
          "grant it pg_monitor, or run doctor as another login"
        )
      ]
  const found = pins.map((pin) => wrong("snapshots", sentence(pin), release(pin)))
  return orFine("snapshots", [...found, ...unseen], "Nobody pins an old snapshot")
}

const sentence = ({ age, name, pid, what }: Pin) => {
  const held = age === null ? "" : ` for ${rounded(age)}`
  const who = what === "session" ? `${name} (pid ${pid})` : `The ${what} ${name}`
  return `${who} has pinned a snapshot${held}: dead rows of every table pile up until it ends`
}

const release = ({ name, pid, what }: Pin) => {
  if (what === "session") return `end its transaction, or run SELECT pg_terminate_backend(${pid})`
  if (what === "prepared transaction") return `run COMMIT PREPARED '${name}' or ROLLBACK PREPARED '${name}'`
  return `connect its consumer, or run SELECT pg_drop_replication_slot('${name}')`
}

const holders = (facts: Facts): ReadonlyArray<Finding> =>
  facts.holders.map(({ age, application, pid, tables, user }) => {
    const some =
      tables.length > 3 ? `${tables.slice(0, 3).join(", ")} and ${tables.length - 3} more` : tables.join(", ")
    return wrong(
      "storage",
      `${application} of ${user} (pid ${pid}) has held ${some} for ${rounded(age)}: they cannot be emptied meanwhile`,
      `let it finish (a dump does), or run SELECT pg_terminate_backend(${pid})`
    )
  })

const publications = (facts: Facts): ReadonlyArray<Finding> =>
  orFine(
    "publications",
    facts.publications.map(({ name, refused, tables }) =>
      refused.length > 0
        ? wrong(
            "publications",
            `The publication ${name} makes deletes from ${refused.join(", ")} fail: they have no replica identity`,
            "leave Lanekeeper's schema out of the publication, or run ALTER TABLE … REPLICA IDENTITY FULL on each"
          )
        : notice(
            "publications",
            `The publication ${name} sends ${counted(tables, "table")} of Lanekeeper to its subscribers: every claim, and every slot that is emptied`,
            "publish your own tables by name or schema, and not ALL TABLES, unless that is wanted"
          )
    ),
    "No publication sends Lanekeeper's tables anywhere"
  )
