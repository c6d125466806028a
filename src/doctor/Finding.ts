/** What a check found: that all is well, something worth knowing, or something wrong and what to do about it. */
export interface Finding {
  readonly check: string
  readonly verdict: "fine" | "notice" | "wrong"
  /** What is so, in a sentence. */
  readonly cause: string
  readonly remedy: string | null
}

export const fine = (check: string, cause: string): Finding => ({ check, verdict: "fine", cause, remedy: null })

export const notice = (check: string, cause: string, remedy: string): Finding => ({
  check,
  verdict: "notice",
  cause,
  remedy
})

export const wrong = (check: string, cause: string, remedy: string): Finding => ({
  check,
  verdict: "wrong",
  cause,
  remedy
})

/** The findings of a check, or one that says that there are none. */
export const orFine = (check: string, found: ReadonlyArray<Finding>, cause: string): ReadonlyArray<Finding> =>
  found.length > 0 ? found : [fine(check, cause)]
