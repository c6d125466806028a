/**
 * Sends in one statement what fibers of one process ask for at the same time: the first goes at once, in its own fiber,
 * and what comes while it is on its way goes together with the next. So nobody waits for company, and ten that ask over
 * and over share each round trip. Two on their way at a time were slower than one: they share half as much.
 *
 * What was sent is sent again only when the answer says that nothing was done because of what one of them is: then each
 * goes alone, and a bad one fails its own caller. Who leaves before it is sent is left out. Who leaves while it is on its
 * way is not waited for, and the others get theirs; when the last one leaves it is interrupted, and so cancelled on the
 * server. It is sent in the context of the first: its tracer and its transformers are for all.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Latch from "effect/Latch"

const patience = "50 millis" // what takes longer waits for something, which others need not
const farewell = "2 seconds" // a server that is there answers within milliseconds
const most = 200 // one statement stays under ~5 ms
const mostBytes = 1_048_576

export interface Sending<One, Answer, E> {
  /** Does all of them or none, and answers in the order given. */
  readonly send: (all: ReadonlyArray<One>) => Effect.Effect<ReadonlyArray<Answer>, E>
  readonly bytes: (one: One) => number
  /** Whether nothing was done, because of what one of them is. */
  readonly isOnes: (error: E) => boolean
}

interface Caller<One, Answer, E> {
  readonly one: One
  readonly answer: (answer: Effect.Effect<Answer, E>) => void
}

interface Batch<One, Answer, E> {
  /** Who waits for it, in the order they came. */
  readonly callers: Set<Caller<One, Answer, E>>
  bytes: number
  fiber: Fiber.Fiber<void, E> | undefined
}

/** Answers how to send one. When the scope closes what is on its way is waited for, and given up when that takes long. */
export const together = Effect.fnUntraced(function* <One, Answer, E>({ bytes, isOnes, send }: Sending<One, Answer, E>) {
  const fibers = yield* FiberSet.make<void, E>()
  yield* Effect.addFinalizer(() => Effect.timeoutOption(FiberSet.awaitEmpty(fibers), farewell))
  const turn = yield* Latch.make(true)
  let open: Batch<One, Answer, E> | undefined

  const inTurn = <A>(sending: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.onExit(
      Effect.suspend(() => (turn.closeUnsafe(), sending)),
      () => turn.open
    )

  const sendOne = (one: One) => Effect.map(send([one]), ([answer]) => answer!)

  const eachAlone = ({ callers }: Batch<One, Answer, E>) =>
    Effect.whileLoop({
      while: () => callers.size > 0,
      body: () => {
        const [caller] = callers
        return Effect.map(Effect.exit(sendOne(caller!.one)), (exit) => {
          callers.delete(caller!)
          caller!.answer(exit)
        })
      },
      step: () => undefined
    })

  const sendAll = (batch: Batch<One, Answer, E>) =>
    Effect.suspend(() => {
      if (open === batch) open = undefined
      const sent = [...batch.callers]
      return send(sent.map(({ one }) => one)).pipe(
        Effect.map((answers) => sent.forEach(({ answer }, index) => answer(Effect.succeed(answers[index]!)))),
        Effect.catchIf(
          (error) => sent.length > 1 && isOnes(error),
          () => eachAlone(batch)
        )
      )
    })

  const goes = (batch: Batch<One, Answer, E>) =>
    turn.await.pipe(
      Effect.timeoutOption(patience),
      Effect.andThen(inTurn(sendAll(batch))),
      Effect.onError((cause) =>
        Effect.sync(() => {
          if (open === batch) open = undefined
          batch.callers.forEach(({ answer }) => answer(Effect.failCause(cause)))
        })
      )
    )

  const join = (one: One) =>
    Effect.contextWith((context: Context.Context<never>) =>
      Effect.callback<Answer, E>((answer) => {
        const size = bytes(one)
        if (open === undefined || open.callers.size >= most || open.bytes + size > mostBytes) {
          open = { callers: new Set(), bytes: 0, fiber: undefined }
        }
        const batch = open
        const caller = { one, answer }
        batch.callers.add(caller)
        batch.bytes += size
        if (batch.fiber === undefined) {
          batch.fiber = Effect.runForkWith(context)(goes(batch))
          FiberSet.addUnsafe(fibers, batch.fiber)
        }
        return Effect.suspend(() => {
          batch.callers.delete(caller)
          if (batch.callers.size > 0) return Effect.void
          if (open === batch) open = undefined
          return Fiber.interrupt(batch.fiber!)
        })
      })
    )

  return (one: One): Effect.Effect<Answer, E> =>
    Effect.suspend(() => (turn.isOpen() && open === undefined ? inTurn(sendOne(one)) : join(one)))
})
