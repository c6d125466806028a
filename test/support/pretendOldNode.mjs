// Loaded with `node --import`: makes a Node say that it is too old, until the guard has handed over. So that the
// hand-over is tested also where no such Node is installed.
if (process.env.LANEKEEPER_HANDED_OVER === undefined) {
  Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.20.2" } })
  Object.defineProperty(process, "version", { value: "v20.20.2" })
}
