/** Every command for people and, decoded by its Schema, for scripts. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { Client } from "../../src/Client.ts"
import { lanekeeper } from "../../src/cli/commands.ts"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import * as Shapes from "../../src/cli/shapes.ts"
import type { JobId } from "../../src/domain/Job.ts"
import { Store } from "../../src/store/Store.ts"
import { root } from "../support/processes.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import { runCommand } from "../support/commandLine.ts"
import { answered, command, dies, Note, printed, runNext, test } from "./world.ts"

const failure = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit)
    ? String((Option.getOrUndefined(Cause.findErrorOption(exit.cause)) as Error | undefined)?.message)
    : assert.fail("it succeeded")

describe("lanekeeper jobs", () => {
  test(
    "enqueues, lists and shows jobs [LK-K1]",
    Effect.gen(function* () {
      const { id, outcome } = yield* answered(
        Shapes.Enqueued,
        "jobs",
        "enqueue",
        "note",
        '{"to": "a"}',
        "--queue=post",
        "--priority=2",
        "--tag=x"
      )
      assert.strictEqual(outcome, "enqueued")
      const kept = ["jobs", "enqueue", "note", "--unique", "one"]
      const first = yield* answered(Shapes.Enqueued, ...kept)
      assert.deepStrictEqual(yield* answered(Shapes.Enqueued, ...kept), { ...first, outcome: "kept" })
      const later = yield* command("jobs", "enqueue", "note", "--delay", "5 minutes")
      assert.match(later.stdout, /^\d+-\d+ was enqueued$/)
      assert.match(
        later.stderr,
        /^No maintenance runs \(no lane ever ran\): .* → start a worker or lanekeeper maintenance$/
      )
      const { jobs, next } = yield* answered(Shapes.JobPage, "jobs", "list", "--limit", "2")
      assert.deepStrictEqual(
        jobs.map(({ place }) => place),
        ["scheduled", "ready"]
      )
      const rest = yield* answered(Shapes.JobPage, "jobs", "list", "--after", next!)
      assert.deepStrictEqual([rest.jobs.map((job) => job.id), rest.next], [[id], null])
      const ofQueue = yield* answered(Shapes.JobPage, "jobs", "list", "--queue", "post", "--place", "ready")
      assert.deepStrictEqual(
        ofQueue.jobs.map((job) => job.id),
        [id]
      )
      const details = yield* answered(Shapes.JobDetails, "jobs", "show", id)
      assert.deepInclude(details, { id, queue: "post", priority: 2, place: "ready", attempt: 0 })
      assert.deepStrictEqual([details.payload, details.details], [{ to: "a" }, { tags: ["x"] }])
      assert.match(yield* printed("jobs", "show", id), /kind +note\nqueue +post, priority 2\nplace +ready/)
      assert.match(yield* printed("jobs", "list"), /^id +kind +queue +place .*\n.*scheduled.* in \d/)
    })
  )

  test(
    "enqueues by what a module declares, and refuses what its Schema does not let in [LK-K1] [LK-E3]",
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const file = join(folder, "jobs.mjs")
      const source = (name: string) => JSON.stringify(pathToFileURL(join(root, name)).href)
      yield* Effect.promise(() =>
        writeFile(
          file,
          `import * as Job from ${source("src/Job.ts")}
           import * as Schema from ${source("node_modules/effect/dist/Schema.js")}
           export const Mail = Job.make("mail", { payload: { to: Schema.String }, queue: "post", priority: 2, aliases: ["old"] })`
        )
      )
      const { id } = yield* answered(Shapes.Enqueued, "jobs", "enqueue", "mail", '{"to": "a"}', "--app", file)
      const job = yield* answered(Shapes.JobDetails, "jobs", "show", id)
      assert.deepInclude(job, { kind: "mail", queue: "post", priority: 2 })
      const over = yield* answered(
        Shapes.Enqueued,
        "jobs",
        "enqueue",
        "old",
        '{"to": "b"}',
        "--app",
        file,
        "--queue=bulk"
      )
      assert.deepInclude(yield* answered(Shapes.JobDetails, "jobs", "show", over.id), { kind: "mail", queue: "bulk" })
      const wrong = yield* command("jobs", "enqueue", "mail", '{"to": 1}', "--app", file)
      assert.match(failure(wrong.exit), /^A job of kind mail was not enqueued: the payload: to: /)
      const unknown = yield* command("jobs", "enqueue", "letter", "--app", file)
      assert.match(failure(unknown.exit), /jobs\.mjs exports only mail, and not letter: export what `Job\.make` made/)
    })
  )

  test(
    "shows the history of a job, and nothing a terminal would obey [LK-N3]",
    Effect.gen(function* () {
      const { id } = yield* Note.enqueue("\u001b[2Jgone", { queue: "post" })
      yield* runNext("post", { _tag: "Died", reason: "no use \u001b[31m", error: { message: "boom" } })
      const { history, place } = yield* answered(Shapes.JobDetails, "jobs", "show", id)
      assert.strictEqual(place, "dead")
      assert.deepInclude(history[0], { attempt: 1, state: "died", reason: "no use \u001b[31m" })
      const text = (yield* printed("jobs", "show", id)) + (yield* printed("dead", "list"))
      assert.include(text, "no use")
      assert.notInclude(text, "\u001b")
    })
  )

  test(
    "cancels and retries the jobs it is given, and says of each what became of it [LK-K1]",
    Effect.gen(function* () {
      const store = yield* Store
      const later = yield* Note.enqueue(1, { delay: "1 hour" })
      const other = yield* Note.enqueue(1, { queue: "run" })
      const { id: running } = yield* runNext("run")
      assert.strictEqual(running, other.id)
      const retried = yield* answered(Shapes.Moved, "jobs", "retry", later.id)
      assert.deepStrictEqual(retried.results, [{ id: later.id, outcome: "is ready", error: null }])
      const { exit } = yield* command("jobs", "cancel", later.id, running)
      assert.strictEqual(failure(exit), "Nothing was changed: cancel 2 jobs needs --yes")
      const cancelled = yield* answered(Shapes.Moved, "jobs", "cancel", "--yes", later.id, running, "3-99999")
      assert.deepStrictEqual(cancelled.results, [
        { id: later.id, outcome: "is cancelled", error: null },
        { id: running, outcome: "is being cancelled: its worker interrupts it", error: null },
        { id: "3-99999", outcome: null, error: "There is no job 3-99999: it may have passed its retention" }
      ])
      const view = Option.getOrThrow(yield* store.show(later.id))
      assert.strictEqual(view.history.at(-1)?.reason, "cancelled at the command line")
      const again = yield* command("jobs", "cancel", later.id)
      assert.strictEqual(failure(again.exit), `The job ${later.id} is cancelled and was not cancelled: it is over`)
    })
  )

  test(
    "moves ready jobs to another queue and priority [LK-K1]",
    Effect.gen(function* () {
      const { get } = yield* Client
      const { id } = yield* Note.enqueue(1, { queue: "nobody" })
      const moved = yield* answered(Shapes.Moved, "jobs", "move", id, "--queue=post", "--priority=1")
      assert.deepStrictEqual(moved.results, [{ id, outcome: "was moved", error: null }])
      assert.deepInclude(Option.getOrThrow(yield* get(id)), { queue: "post", priority: 1 })
      assert.strictEqual(
        failure((yield* command("jobs", "move", id)).exit),
        "Say where to: --queue, --priority or both"
      )
      assert.match(
        failure((yield* command("jobs", "move", id, "--priority=12")).exit),
        /^Nothing was changed: the priority/
      )
    })
  )

  test(
    "explains why a job is not running, and what to do about it [LK-I6] [LK-K1]",
    Effect.gen(function* () {
      const { id } = yield* Note.enqueue(1)
      const { place, reasons } = yield* answered(Shapes.Explanation, "jobs", "explain", id)
      assert.deepStrictEqual(
        [place, reasons],
        ["ready", [{ cause: "No worker is alive: none is registered", remedy: "start a worker", stuck: true }]]
      )
      assert.strictEqual(
        yield* printed("jobs", "explain", id),
        `${id} is ready\n\nNo worker is alive: none is registered\n  → start a worker`
      )
    })
  )

  test(
    "refuses what is no id, no JSON and no such job, each in a sentence [LK-K1]",
    Effect.gen(function* () {
      const unknown = yield* command("jobs", "show", "3-7")
      assert.strictEqual(failure(unknown.exit), "There is no job 3-7: it may have passed its retention")
      for (const [args, sentence] of [
        [["jobs", "show", "seven"], '"seven". Expected: the id of a job, such as 3-1742'],
        [["jobs", "enqueue", "note", "{to: 1}"], "Expected: JSON, quoted for the shell"],
        [["jobs", "enqueue", "note", "--delay", "soon"], '"soon". Expected: a length of time, such as "5 minutes"']
      ] as const) {
        const { exit, stderr, stdout } = yield* command(...args)
        assert.isTrue(Exit.isFailure(exit))
        assert.include(stdout + stderr, sentence)
      }
      const wrong = yield* command("jobs", "enqueue", "note", "--priority", "12")
      assert.match(failure(wrong.exit), /priority/)
    })
  )
})

describe("lanekeeper dead", () => {
  const bury = Effect.fnUntraced(function* (...queues: ReadonlyArray<string>) {
    const ids: Array<JobId> = []
    for (const queue of queues) {
      yield* Note.enqueue(1, { queue })
      ids.push((yield* runNext(queue, dies)).id)
    }
    return ids
  })

  test(
    "lists the dead with their reasons, drives them again and purges them [LK-K1]",
    Effect.gen(function* () {
      const store = yield* Store
      const [a, b, c, d] = yield* bury("a", "b", "a", "c")
      const { jobs, next } = yield* answered(Shapes.JobPage, "dead", "list")
      assert.deepStrictEqual([jobs.map(({ id }) => id), next], [[d, c, b, a], null])
      assert.strictEqual(jobs[0]?.reason, "it was no use")
      assert.match(yield* printed("dead", "list", "--queue", "b"), /^id .*reason\n.* b .*it was no use$/)
      const driven = yield* answered(Shapes.MovedMany, "dead", "redrive", "--queue", "a")
      assert.deepStrictEqual(driven, { outcome: "driven again", jobs: 2, keyTaken: 0 })
      assert.deepStrictEqual(yield* store.place(a!), Option.some("ready"))
      const one = yield* answered(Shapes.Moved, "dead", "redrive", b!)
      assert.deepStrictEqual(one.results, [{ id: b!, outcome: "driven again", error: null }])
      const asked = yield* command("dead", "purge", "--kind", "note")
      assert.strictEqual(failure(asked.exit), "Nothing was changed: purge every dead job of kind note needs --yes")
      assert.strictEqual(yield* printed("dead", "purge", "--kind", "other", "--yes"), "0 jobs purged")
      assert.strictEqual(yield* printed("dead", "purge", "--all", "--yes"), "1 job purged")
      assert.deepStrictEqual(yield* store.place(d!), Option.none())
      assert.strictEqual(yield* printed("dead", "list"), "No job is dead")
    })
  )

  test(
    "leaves those dead whose unique key another job has, and says which that is [LK-K1] [LK-E5]",
    Effect.gen(function* () {
      const store = yield* Store
      const enqueue = answered(Shapes.Enqueued, "jobs", "enqueue", "note", "--unique", "mine", "--queue", "keyed")
      const first = yield* enqueue
      yield* store.setAside(first.id as JobId, "it was no use")
      const second = yield* enqueue
      const { exit, stdout } = yield* command("dead", "redrive", first.id)
      assert.strictEqual(
        failure(exit),
        `The job ${first.id} was not driven again: ${second.id} has its unique key and is not over: cancel that one, or purge this one`
      )
      assert.strictEqual(stdout, "")
      assert.strictEqual(
        yield* printed("dead", "redrive", "--queue", "keyed"),
        "0 jobs driven again; 1 job left, because another has its unique key and is not over"
      )
    })
  )

  test(
    "wants to know which jobs, by name or by a filter [LK-K1]",
    Effect.gen(function* () {
      const sentence = "Say which jobs: their ids, or --kind, --queue or --all"
      assert.strictEqual(failure((yield* command("dead", "purge", "--yes")).exit), sentence)
      assert.strictEqual(failure((yield* command("dead", "redrive", "3-1", "--all")).exit), sentence)
    })
  )
})

describe("lanekeeper queues", () => {
  test(
    "pauses a queue for everybody, and resumes it [LK-I1] [LK-K1]",
    Effect.gen(function* () {
      const { pausedQueues } = yield* Store
      assert.deepStrictEqual(yield* answered(Shapes.QueueState, "queues", "pause", "post"), {
        queue: "post",
        paused: true
      })
      assert.deepStrictEqual(yield* pausedQueues, ["post"])
      assert.strictEqual(yield* printed("queues", "resume", "post"), "post is open")
      assert.deepStrictEqual(yield* pausedQueues, [])
    })
  )
})

describe("lanekeeper queues list", () => {
  test(
    "says how deep queues are, as they were counted last, and which are paused [LK-K1] [LK-D4]",
    Effect.gen(function* () {
      const store = yield* Store
      yield* store.pause("held")
      const before = yield* answered(Shapes.Queues, "queues", "list")
      assert.isNull(before.counted)
      assert.deepInclude(before.queues[0], { queue: "held", paused: true, ready: 0, oldest: null })
      assert.match(yield* printed("queues", "list"), /have not been counted yet: start maintenance/)
      yield* Note.enqueueMany([1, 2, 3], { queue: "post" })
      yield* runNext("post")
      yield* command("tick", "--lane", "stats")
      const { counted, queues } = yield* answered(Shapes.Queues, "queues", "list")
      assert.isNotNull(counted)
      assert.deepInclude(queues[0], { queue: "post", paused: false, ready: 2, running: 1, enqueuedPerSecond: null })
      assert.match(
        yield* printed("queues", "list"),
        /^queue .*\npost +open +2 +1 .*\nheld +paused .*\n\nCounted .* ago$/
      )
    })
  )
})

describe("lanekeeper workers", () => {
  test(
    "shows who works or maintains, in which role and release, who leads, and who was declared dead [LK-K1] [LK-D10]",
    Effect.gen(function* () {
      const store = yield* Store
      assert.strictEqual(yield* printed("workers"), "No process is registered")
      yield* store.register("box:1", { kinds: ["note"], queues: ["post", "bulk"] })
      const dead = yield* store.register("box:2")
      yield* store.declareDead(dead, 0)
      const { processes } = yield* answered(Shapes.Workers, "workers")
      assert.deepInclude(processes[0], {
        role: "worker",
        leads: false,
        name: "box:1",
        state: "alive",
        kinds: ["note"],
        queues: ["post", "bulk"]
      })
      assert.deepInclude(processes[1], { name: "box:2", state: "declared dead", kinds: null })
      assert.match(yield* printed("workers"), /box:1 +worker .*alive .* ago +post, bulk +note\n/)
      const about = { role: "maintenance", version: "1.2.3", holder: "box:3", lanes: ["promote", "cron"] } as const
      yield* store.register("box:3", undefined, about)
      yield* store.takeLead({ holder: "box:3", lease: Duration.minutes(1) })
      const { processes: after } = yield* answered(Shapes.Workers, "workers")
      assert.deepInclude(after[2], { role: "maintenance", release: "1.2.3", leads: true, lanes: ["promote", "cron"] })
      assert.match(yield* printed("workers"), /box:3 +maintenance +1\.2\.3 +alive, leads +\S+ ago +2$/)
    })
  )
})

describe("lanekeeper lanes and tick", () => {
  test(
    "say what they say to scripts, too [LK-K1]",
    Effect.gen(function* () {
      const { left, ran } = yield* answered(Shapes.Tick, "tick")
      assert.strictEqual(left.length, 0)
      assert.includeMembers(
        ran.map(({ lane }) => lane),
        ["promote"]
      )
      const { lanes } = yield* answered(Shapes.Lanes, "lanes")
      assert.deepInclude(lanes[0], { lane: "promote", interval: 250 })
      assert.isNotNull(lanes[0]?.last)
    })
  )
})

describe("lanekeeper doctor", () => {
  test(
    "says what is wrong and what to do, and fails when something is [LK-K3]",
    Effect.gen(function* () {
      const { findings, healthy } = yield* answered(Shapes.Diagnosis, "doctor")
      assert.isFalse(healthy)
      const leader = findings.find(({ check }) => check === "leader")
      assert.deepStrictEqual(leader, {
        check: "leader",
        verdict: "wrong",
        cause: "No maintenance runs anywhere: no lane ever ran",
        remedy: "start a worker or lanekeeper maintenance"
      })
      const { exit, stdout } = yield* command("doctor")
      assert.strictEqual(failure(exit), "1 thing is wrong")
      assert.match(stdout, /^WRONG {2}leader +No maintenance runs anywhere.*\n +→ start a worker/m)
      const store = yield* Store
      yield* command("tick")
      yield* store.register("a worker")
      const well = yield* command("doctor")
      assert.isTrue(well.succeeded, well.stdout)
    })
  )
})

describe("The command line", () => {
  it.live("offers --json wherever it answers something [LK-K1]", () =>
    Effect.gen(function* () {
      const silent = ["migrate", "worker", "maintenance"] // one tells what it did, the others serve
      const tops = lanekeeper.subcommands.flatMap(({ commands }) => commands)
      for (const top of tops) {
        const leaves = top.subcommands.flatMap(({ commands }) => commands.map(({ name }) => [top.name, name]))
        for (const path of leaves.length > 0 ? leaves : [[top.name]]) {
          const { stdout } = yield* runCommand([...path, "--help"], {})
          assert.strictEqual(stdout.includes("--json"), !silent.includes(top.name), path.join(" "))
        }
      }
    })
  )

  test(
    "keeps its log off the answer [LK-K7]",
    Effect.gen(function* () {
      const client = yield* Client
      yield* client.pauseQueue("x")
      const { stdout } = yield* command("lanes", "--json", "--log-level", "all", "--log-format", "json")
      assert.doesNotThrow(() => JSON.parse(stdout))
    })
  )
})
