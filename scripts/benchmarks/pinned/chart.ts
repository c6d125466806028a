/** Draws lines over time as an SVG, one panel below the other, each with a scale of its own. */

export interface Panel {
  readonly title: string
  readonly lines: ReadonlyArray<{ readonly name: string; readonly values: ReadonlyArray<number> }>
}

export interface Chart {
  readonly title: string
  /** Seconds, one for each value. */
  readonly at: ReadonlyArray<number>
  readonly until: number
  readonly pinnedAt: number
  readonly panels: ReadonlyArray<Panel>
}

/** All of it can be told apart on white and on black: there is no background, and what is not a line is grey. */
const colours = [
  "#3b82c4",
  "#dd4444",
  "#2f9e4f",
  "#9b6bc9",
  "#d9791e",
  "#1a9fb0",
  "#a3705f",
  "#888888",
  "#a8a020",
  "#d35fa8"
]
const grey = "#808080"
const width = 960
const left = 70
const plot = { width: 700, height: 170 }
const pitch = plot.height + 60
const top = 60

const escaped = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")

const text = (x: number, y: number, words: string, style = "") =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${style}>${escaped(words)}</text>`

/** The next of 1, 2 and 5 times a power of ten. */
const ceiling = (value: number) => {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-3)))
  return [1, 2, 5, 10].find((factor) => factor * power >= value)! * power
}

export const draw = ({ at, panels, pinnedAt, title, until }: Chart): string => {
  const x = (seconds: number) => left + (seconds / until) * plot.width
  const drawPanel = ({ lines, title }: Panel, index: number) => {
    const base = top + index * pitch + plot.height
    const most = ceiling(Math.max(...lines.flatMap(({ values }) => values), 0))
    const y = (value: number) => base - (value / most) * plot.height
    const quarter = (which: number) =>
      `<rect x="${x((which * until) / 4).toFixed(1)}" y="${base - plot.height}" width="${plot.width / 4}" height="${plot.height}" fill="${grey}" fill-opacity="0.12"/>`
    const scale = [0, 0.5, 1].map((share) => {
      const height = y(most * share).toFixed(1)
      return `<line x1="${left}" x2="${left + plot.width}" y1="${height}" y2="${height}" stroke="${grey}" stroke-opacity="0.35"/>${text(left - 8, y(most * share) + 4, `${Number((most * share).toPrecision(3))}`, 'text-anchor="end"')}`
    })
    const times = [0, 0.25, 0.5, 0.75, 1].map((share) =>
      text(x(until * share), base + 16, `${Math.round(until * share)} s`, 'text-anchor="middle"')
    )
    const drawn = lines.map(({ name, values }, line) => {
      const points = values.map((value, sample) => `${x(at[sample]!).toFixed(1)},${y(value).toFixed(1)}`).join(" ")
      const colour = colours[line % colours.length]!
      return `<polyline points="${points}" fill="none" stroke="${colour}" stroke-width="1.5"/>${text(left + plot.width + 14, base - plot.height + 14 + line * 17, name, `fill="${colour}"`)}`
    })
    const pin = `<line x1="${x(pinnedAt).toFixed(1)}" x2="${x(pinnedAt).toFixed(1)}" y1="${base - plot.height}" y2="${base}" stroke="${grey}" stroke-dasharray="4 3"/>`
    return [quarter(1), quarter(3), ...scale, ...times, pin, ...drawn, text(left, base - plot.height - 8, title)].join(
      "\n"
    )
  }
  const height = top + panels.length * pitch
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12" fill="${grey}">
${text(left, 24, `${title}; dashed: from here a snapshot is pinned; shaded: the quarters compared`, 'font-size="13"')}
${panels.map(drawPanel).join("\n")}
</svg>
`
}
