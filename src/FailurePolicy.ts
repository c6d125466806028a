/** Says what becomes of a job whose handler failed: by the error's tag, or by the error. */
import type * as Duration from "effect/Duration"

/**
 * `retry`: by the kind's backoff, until its attempts are used up. `dead`: at once, however many are left. `after`: as a
 * retry, but this much later.
 */
export type Decision = "retry" | "dead" | { readonly after: Duration.Input }

type TagOf<Failure> = Failure extends { readonly _tag: infer Tag extends string } ? Tag : never

export type FailurePolicy<Failure> =
  | ((failure: Failure) => Decision)
  | {
      readonly [Tag in TagOf<Failure>]?:
        | Decision
        | ((failure: Extract<Failure, { readonly _tag: Tag }>) => Decision)
        | undefined
    }

type Rule = Decision | ((failure: unknown) => Decision)

export const decide = (policy: FailurePolicy<never> | undefined, failure: unknown): Decision => {
  if (policy === undefined) return "retry"
  const rule = typeof policy === "function" ? (policy as Rule) : byTag(policy, failure)
  return (typeof rule === "function" ? rule(failure) : rule) ?? "retry"
}

const byTag = (policy: object, failure: unknown): Rule | undefined => {
  if (typeof failure !== "object" || failure === null || !("_tag" in failure)) return undefined
  const tag = String(failure._tag)
  return Object.hasOwn(policy, tag) ? (policy as Record<string, Rule>)[tag] : undefined
}
