/** Least values that many pods need: each watches files. */
export const neededSysctls: Readonly<Record<string, number>> = {
  "fs.inotify.max_user_instances": 1024,
  "fs.inotify.max_user_watches": 1_048_576,
};

export const tuningHeader = `# Kernel settings that a Kubernetes node needs, written by k8sd.
# Values that are higher elsewhere are left out and stay as they are.
# Delete this file to switch the tuning off; it is not written again
# until this machine becomes a node anew.
`;

export interface SysctlFile {
  readonly path: string;
  readonly content: string;
}

export interface SysctlState {
  /** Everything that sets values at boot, in the order in which it is read; without our own file. */
  readonly files: readonly SysctlFile[];
  /** Our own file, when there is one. */
  readonly own: SysctlFile | undefined;
  /** Values of the running kernel. */
  readonly live: Readonly<Record<string, number | undefined>>;
}

export interface SysctlPlan {
  /** Wanted name and content of our file. */
  readonly own: { readonly name: string; readonly content: string };
  /** A file of ours under a name that is read too early. */
  readonly obsolete: string | undefined;
  /** Values to raise in the running kernel. */
  readonly raise: Readonly<Record<string, number>>;
  /** Lower values in files that are read after any name of ours: only their owner can change them. */
  readonly overridden: readonly { readonly key: string; readonly value: number; readonly path: string }[];
}

export function planSysctls(state: SysctlState, needed: Readonly<Record<string, number>> = neededSysctls): SysctlPlan {
  const name = chooseName(state.files, state.own);
  const lines: string[] = [];
  const overridden: { key: string; value: number; path: string }[] = [];
  const raise: Record<string, number> = {};
  for (const [key, least] of Object.entries(needed)) {
    const setting = lastSetting(state.files, key);
    if (setting === undefined || setting.value < least) {
      lines.push(`${key}=${least}\n`);
      if (setting !== undefined && !isReadBefore(setting.path, name)) overridden.push({ key, ...setting });
    }
    const live = state.live[key];
    if (live !== undefined && live < least) raise[key] = least;
  }
  const obsolete = state.own !== undefined && baseName(state.own.path) !== name ? state.own.path : undefined;
  return { own: { name, content: tuningHeader + lines.sort().join("") }, obsolete, raise, overridden };
}

/**
 * `<N>-k8s.conf` with N one above the highest number there is. Files are read in the order of their names' bytes, in which
 * 100 comes before 99: then digits are added to the last name until ours comes after it.
 */
function chooseName(files: readonly SysctlFile[], own: SysctlFile | undefined): string {
  const names = files.map(({ path }) => baseName(path)).filter((name) => /^\d/.test(name));
  const readLast = (name: string): boolean => names.every((other) => other < name);
  if (own !== undefined && readLast(baseName(own.path))) return baseName(own.path);
  const highest = Math.max(0, ...names.map((name) => Number.parseInt(name, 10)));
  const next = `${highest + 1}-k8s.conf`;
  if (readLast(next)) return next;
  const last = names.toSorted().at(-1) ?? "";
  return `${/^\d+/.exec(last)?.[0] ?? ""}9-k8s.conf`;
}

/** `sysctl.conf` itself is read after all directories. */
function isReadBefore(path: string, name: string): boolean {
  return !path.endsWith("/etc/sysctl.conf") && baseName(path) < name;
}

function lastSetting(files: readonly SysctlFile[], key: string): { value: number; path: string } | undefined {
  let last: { value: number; path: string } | undefined;
  for (const { path, content } of files) {
    for (const line of content.split("\n")) {
      const match = /^\s*-?\s*([^\s=#;]+)\s*=\s*(\d+)\s*$/.exec(line);
      // sysctl.conf(5): slashes and dots both separate.
      if (match !== null && match[1]?.replaceAll("/", ".") === key) last = { value: Number(match[2]), path };
    }
  }
  return last;
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
