/** Stands for node:child_process in the bundle: its one user there, commander, starts programs for commands that we have not. */
// biome-ignore lint/style/noDefaultExport: the default is what commander imports
export default {};
