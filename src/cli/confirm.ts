/** Asks before something is destroyed. Where nobody can answer it has to be said with `--yes`. */
import * as Effect from "effect/Effect"
import * as Prompt from "effect/cli/Prompt"
import * as Schema from "effect/Schema"

/** Nobody said yes. Nothing was changed. */
export class NotConfirmed extends Schema.TaggedError<NotConfirmed>()("NotConfirmed", { what: Schema.String }) {
  override get message() {
    return `Nothing was changed: ${this.what} needs --yes`
  }
}

export const confirm = Effect.fnUntraced(function* (what: string, yes: boolean) {
  if (yes) return
  if (process.stdin.isTTY !== true || process.stderr.isTTY !== true) return yield* new NotConfirmed({ what })
  const agreed = yield* Prompt.run(Prompt.Confirm({ message: `Really ${what}?`, initial: false }))
  if (!agreed) return yield* new NotConfirmed({ what })
})
