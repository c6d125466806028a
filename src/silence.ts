/** Opens what another end has to answer when it is closed, and does not wait for ever: it may have fallen silent. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"

const patience = "2 seconds" // a server that is there answers within milliseconds

/** What is not closed by then is closed when the network says that it is gone, or with the process. */
export const closingInTime = <A, E, R>(open: Effect.Effect<A, E, R>): Effect.Effect<A, E, R | Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) =>
      Effect.flatMap(Effect.forkDetach(Scope.close(scope, Exit.void)), (closing) =>
        Effect.timeoutOption(Fiber.await(closing), patience)
      )
    )
    return yield* Scope.provide(open, scope)
  }) as Effect.Effect<A, E, R | Scope.Scope>
