/** Prints rows in columns. On a terminal they fit its width; elsewhere they are plain and whole. */

type Row = Readonly<Record<string, string>>

const gap = "  "

/** Columns as wide as their widest entry; in a narrow terminal the widest ones give way. */
export const table = (rows: ReadonlyArray<Row>, width = terminalWidth()): string => {
  const names = Object.keys(rows[0] ?? {})
  const all = [Object.fromEntries(names.map((name) => [name, name])), ...rows]
  const widths = fitted(
    names.map((name) => Math.max(...all.map((row) => (row[name] ?? "").length))),
    width === undefined ? undefined : width - gap.length * (names.length - 1)
  )
  const lines = all.map((row) =>
    names
      .map((name, index) => cut(oneLine(row[name] ?? ""), widths[index]!).padEnd(widths[index]!))
      .join(gap)
      .trimEnd()
  )
  return [emphasised(lines[0]!), ...lines.slice(1)].join("\n")
}

const terminalWidth = () => (process.stdout.isTTY ? process.stdout.columns : undefined)

const fitted = (widths: ReadonlyArray<number>, room: number | undefined): ReadonlyArray<number> => {
  const total = widths.reduce((sum, width) => sum + width, 0)
  const widest = Math.max(...widths)
  if (room === undefined || total <= room || widest <= 8) return widths
  const index = widths.indexOf(widest)
  return fitted(
    widths.map((width, other) => (other === index ? Math.max(8, width - (total - room), Math.ceil(width / 2)) : width)),
    room
  )
}

const cut = (text: string, width: number) => (text.length <= width ? text : `${text.slice(0, width - 1)}…`)

/** What others wrote (names, reasons) cannot steer the terminal or break a row. */
export const oneLine = (text: string) => text.replaceAll(/\p{Cc}+/gu, " ")

/** NO_COLOR, and everything that is no terminal, stays plain. */
export const hasColours = () => process.stdout.isTTY === true && (process.env["NO_COLOR"] ?? "") === ""

const emphasised = (text: string) => (hasColours() ? `\u001b[1m${text}\u001b[22m` : text)
