/**
 * Runs short scripts of several callers on a store at once, and looks for an order in which the model, one line after the
 * other, gives every caller the answers it got and ends with the same contents.
 *
 * What a store may do beyond that: a claim or a pass skips jobs that another caller is moving at that moment. So the model
 * is told which jobs a claim found, and tries which jobs a pass can have skipped.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { JobId } from "../../src/domain/Job.ts"
import type { Contents, Job } from "../../src/store/memory/Contents.ts"
import type { Claim, Moved } from "../../src/store/Store.ts"
import { agree, Disagreement, type Side, side } from "./modelAgreement.ts"
import { broken, difference, type Knowledge, makeModel, type Names, type Outcome, perform, survey } from "./modelRun.ts"
import { type Command, type Meeting, print, type Script } from "./modelScript.ts"

type Model = ReturnType<typeof makeModel>

/** One line that was run on the store, and what its caller was answered. */
interface Done {
  readonly label: string
  readonly command: Command
  readonly answer: unknown
}

/** Somewhere on the way: the model after some lines of each caller. */
interface Reached {
  readonly model: Model
  readonly names: Names
  readonly known: ReadonlyArray<Knowledge>
  readonly positions: ReadonlyArray<number>
}

/** Answers how many lines were tried, in one order or another, until an order explained what happened. */
export const meet = Effect.fnUntraced(function* (
  { before, callers }: Meeting,
  model: Model,
  store: Side
): Effect.fn.Return<number, Disagreement | SqlError> {
  const [expected, actual] = yield* agree(before, side(model), store, "at the end")
  const outcomes = yield* Effect.forEach(callers, (script, caller) => alone(script, actual, `${letter(caller)}`), {
    concurrency: "unbounded"
  })
  introduce(outcomes.flat(), actual.names)
  const done = outcomes.map((lines) =>
    lines.map(({ command, label, outcome }): Done => ({
      command,
      label,
      answer: canonical(command, outcome.tell(actual.names))
    }))
  )
  const differ = (what: string) =>
    new Disagreement({
      line: `${callers.length} callers at once`,
      what: `${what}\n${done.map((lines) => lines.map(({ answer, label }) => `    ${label} ${JSON.stringify(answer)}`).join("\n")).join("\n")}`,
      script: `before: ${print(before)}\n${callers.map((script, caller) => `${letter(caller)}: ${print(script)}`).join("\n")}`
    })

  const after = yield* survey(actual.subject)
  const faults = broken(after.views)
  if (faults.length > 0) return yield* differ(faults.join("; "))
  const contents = inOrder(after.tell(actual.names))

  let tried = 0
  let nearest = "no order gives these answers"
  const explains = Effect.fnUntraced(function* (reached: Reached): Effect.fn.Return<boolean, SqlError> {
    const next = done.flatMap((lines, caller) => {
      const line = lines[reached.positions[caller]!]
      return line === undefined ? [] : [{ caller, line }]
    })
    if (next.length === 0) {
      const held = yield* survey(reached.model)
      const found = difference(inOrder(held.tell(reached.names)), contents, "contents")
      if (found !== undefined) nearest = `the last order that gives these answers ends otherwise: ${found}`
      return found === undefined
    }
    for (const { caller, line } of next) {
      tried++
      for (const step of yield* steps(reached, caller, line)) {
        if (yield* explains(step)) return true
      }
    }
    return false
  })
  const found = yield* explains({
    model,
    names: expected.names,
    known: callers.map(() => expected.known),
    positions: callers.map(() => 0)
  })
  return found ? tried : yield* differ(nearest)
})

const letter = (caller: number) => String.fromCharCode(97 + caller)

const alone = (script: Script, { known, subject }: Side, name: string) =>
  Effect.gen(function* () {
    const lines: Array<{ readonly label: string; readonly command: Command; readonly outcome: Outcome }> = []
    for (const [index, command] of script.entries()) {
      const label = `${name}${index}`
      const outcome: Outcome = yield* perform(subject, lines.at(-1)?.outcome.learned ?? known, label, command)
      lines.push({ label, command, outcome })
    }
    return lines
  })

/** Leases are called after jobs, so those go first. */
const introduce = (lines: ReadonlyArray<{ readonly command: Command; readonly outcome: Outcome }>, names: Names) => {
  for (const { command, outcome } of lines) if (command.move !== "claim") outcome.introduce(names)
  for (const { command, outcome } of lines) if (command.move === "claim") outcome.introduce(names)
}

/** The ways the model can go from here with this line that give its caller the answer it got. */
const steps = Effect.fnUntraced(function* (reached: Reached, caller: number, { answer, command, label }: Done) {
  const found: Array<Reached> = []
  for (const held of yield* skipped(reached, caller, command, answer)) {
    const model = copy(reached.model)
    const restore = hold(model.contents, held)
    const outcome = yield* perform(model, reached.known[caller]!, label, command)
    restore()
    const names = new Map(reached.names)
    outcome.introduce(names)
    if (difference(canonical(command, outcome.tell(names)), answer) !== undefined) continue
    found.push({
      model,
      names,
      known: reached.known.with(caller, outcome.learned),
      positions: reached.positions.with(caller, reached.positions[caller]! + 1)
    })
  }
  return found
})

/** Sets of jobs that may have been in other hands while the line ran. */
const skipped = Effect.fnUntraced(function* (reached: Reached, caller: number, command: Command, answer: unknown) {
  if (command.move === "claim") {
    const taken = (answer as { readonly jobs: ReadonlyArray<{ readonly job: string }> }).jobs.map(({ job }) => job)
    const ready = [...reached.model.contents.at.ready].map(({ id }) => id)
    return [ready.filter((id) => !taken.includes(reached.names.get(`job ${id}`)!))]
  }
  if (!("limit" in command) && command.move !== "release") return [[]]
  const trial = copy(reached.model)
  const whole = "limit" in command ? { ...command, limit: 1_000 } : command
  const before = placed(trial.contents)
  yield* perform(trial, reached.known[caller]!, "trial", whole)
  const after = placed(trial.contents)
  const moved = [...before].filter(([id, pointer]) => after.get(id) !== pointer).map(([id]) => id)
  const { cancelled, dead, ready, scheduled } = answer as Moved
  return subsets(moved, moved.length - (cancelled + dead + ready + scheduled))
})

const placed = ({ jobs }: Contents) => new Map([...jobs.values()].map(({ id, pointer }) => [id, pointer]))

const subsets = <A>(items: ReadonlyArray<A>, size: number): ReadonlyArray<ReadonlyArray<A>> => {
  if (size < 0 || size > items.length) return []
  if (size === 0) return [[]]
  const [first, ...rest] = items
  return [...subsets(rest, size - 1).map((subset) => [first!, ...subset]), ...subsets(rest, size)]
}

const copy = ({ contents, now }: Model): Model => makeModel(structuredClone(contents), now())

/** Takes jobs out of sight, as a lock does for those who skip it. Answers how to bring them back. */
const hold = (contents: Contents, ids: ReadonlyArray<JobId>) => {
  const held = ids.map((id) => {
    const job: Job = contents.jobs.get(id)!
    const { pointer } = job
    contents.at[pointer.place].delete(job)
    if (pointer.place === "running") pointer.lease.jobs.delete(job)
    return { job, pointer }
  })
  return () => {
    for (const { job, pointer } of held) {
      contents.at[pointer.place].add(job)
      if (pointer.place !== "running") continue
      pointer.lease.jobs.add(job)
      contents.leases.set(pointer.lease.id, pointer.lease)
    }
  }
}

/**
 * Whoever raced for jobs does not know in which order they come, nor whether there were more. A cancel that found a job
 * running looks again when it has asked, and may see what came of it.
 */
const canonical = (command: Command, answer: unknown): unknown => {
  if (command.move === "cancel") {
    const told = answer as { readonly moved: boolean; readonly place: string | null }
    return !told.moved && told.place === "cancelled" ? { ...told, place: "running" } : told
  }
  if (command.move !== "claim") return answer
  const { jobs } = answer as { readonly jobs: ReadonlyArray<Claim["jobs"][number] & { readonly job: string }> }
  return { jobs: jobs.toSorted((a, b) => (a.job < b.job ? -1 : 1)) }
}

/** Numbers were drawn in the order of the race; names were not. */
const inOrder = (told: { readonly places: Readonly<Record<string, ReadonlyArray<unknown>>> }) => ({
  ...told,
  places: Object.fromEntries(
    Object.entries(told.places).map(([place, views]) => [
      place,
      views.toSorted((a, b) => ((a as { job: string }).job < (b as { job: string }).job ? -1 : 1))
    ])
  )
})
