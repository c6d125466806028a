import { readFileSync } from "node:fs"

/** Of this package, as it was installed. */
export const { version }: { readonly version: string } = JSON.parse(
  readFileSync(new URL("../package.json", import.meta.url), "utf8")
)
