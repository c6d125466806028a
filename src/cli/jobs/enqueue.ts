import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { InvalidPayload } from "../../EnqueueError.ts"
import { isText, textRule } from "../../EnqueueOptions.ts"
import { type Loaded, loadKind } from "../app.ts"
import { durationFlag, jsonFlag, schemaFlag } from "../flags.ts"
import type { Enqueued } from "../shapes.ts"
import { withStore } from "../store.ts"

const payload = Argument.String("payload").pipe(
  Argument.withDescription("JSON; null without it"),
  Argument.withDefault("null"),
  Argument.mapTryCatch(
    (text): unknown => JSON.parse(text),
    () => 'JSON, quoted for the shell, such as \'{"to": "a@example.com"}\''
  )
)

export const enqueue = Command.make(
  "enqueue",
  {
    kind: Argument.String("kind").pipe(
      Argument.withDescription("The kind of the job"),
      Argument.filter(
        (kind) => isText(kind),
        () => `a name, which ${textRule}`
      )
    ),
    payload,
    app: Flag.String("app").pipe(
      Flag.withDescription("The module that exports the kind: its Schema and what it declares hold then"),
      Flag.optional
    ),
    queue: Flag.String("queue").pipe(
      Flag.withDescription("The queue; the kind's, or default, without it"),
      Flag.optional
    ),
    priority: Flag.Int("priority").pipe(
      Flag.withDescription("0 runs first, 9 last; the kind's, or 5, without it"),
      Flag.optional
    ),
    delay: durationFlag("delay", "How long from now", "5 minutes"),
    unique: Flag.String("unique").pipe(Flag.withDescription("A key that lets no second job in"), Flag.optional),
    maxAttempts: Flag.Int("max-attempts").pipe(Flag.withDescription("How often it is tried"), Flag.optional),
    tag: Flag.String("tag").pipe(Flag.withDescription("Travels with the job; can be repeated"), Flag.atLeast(0)),
    schema: schemaFlag,
    json: jsonFlag
  },
  Effect.fn(function* (flags) {
    const { Client } = yield* Effect.promise(() => import("../../Client.ts"))
    const { kind, payload } = yield* asked(flags)
    const { explain } = yield* Effect.promise(() => import("../../explain.ts"))
    const enqueueing = Effect.gen(function* () {
      const client = yield* Client
      const enqueued = yield* client.enqueue(kind, payload, {
        queue: Option.getOrUndefined(flags.queue),
        priority: Option.getOrUndefined(flags.priority),
        delay: Option.getOrUndefined(flags.delay),
        unique: Option.getOrUndefined(flags.unique),
        maxAttempts: Option.getOrUndefined(flags.maxAttempts),
        tags: flags.tag.length > 0 ? flags.tag : undefined
      })
      // A queue nobody serves is easily named by mistake, and nothing else would say so. Who may only enqueue is not told:
      // the job is there, and must not be enqueued again.
      const { reasons } = yield* Effect.orElseSucceed(explain(enqueued.id), () => ({ reasons: [] }))
      return { ...enqueued, stuck: reasons.filter((reason) => reason.stuck) }
    })
    const { former, id, outcome, stuck } = yield* withStore("jobs", flags, enqueueing)
    const told: typeof Enqueued.Type = { id, outcome, former: Option.getOrNull(former) }
    yield* Console.log(flags.json ? JSON.stringify(told) : `${id} was ${outcome}`)
    for (const { cause, remedy } of stuck) yield* Console.error(`${cause} → ${remedy}`)
  })
).pipe(
  Command.withDescription("Enqueue a job by the name of its kind; the payload is stored as it is given"),
  Command.withExamples([
    {
      command: `lanekeeper jobs enqueue send-email '{"to": "a@example.com"}' --queue email --delay "5 minutes"`,
      description: "One job, in five minutes"
    },
    {
      command: `lanekeeper jobs enqueue send-email '{"to": "a@example.com"}' --app ./jobs.ts`,
      description: "Checked by the kind's Schema, in the queue it declares"
    }
  ])
)

interface Asked {
  readonly kind: Loaded
  readonly payload: unknown
}

/** Without the module nothing is known of the kind: the flags say what it would declare. */
const asked = Effect.fnUntraced(function* (flags: {
  readonly app: Option.Option<string>
  readonly kind: string
  readonly payload: unknown
}) {
  if (Option.isNone(flags.app)) {
    const Job = yield* Effect.promise(() => import("../../Job.ts"))
    const anything: Schema.Codec<unknown> = Schema.Unknown
    const kind = Job.make(flags.kind, { payload: anything, output: anything, failure: anything })
    return { kind, payload: flags.payload } satisfies Asked
  }
  const kind = yield* loadKind(flags.app.value, flags.kind)
  const { faultOf } = yield* Effect.promise(() => import("../../dispatch/endings.ts"))
  const payload = yield* kind
    .decode(flags.payload, { version: kind.defaults.version })
    .pipe(Effect.mapError((error) => new InvalidPayload({ kind: kind.name, path: [], reason: faultOf(error) })))
  return { kind, payload } satisfies Asked
})
