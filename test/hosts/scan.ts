import type { Host, HostSnapshot } from "./types.ts";

/** Paths that change by themselves on any running system. */
const restless = [
  /^\/var\/log\/journal\//,
  /^\/var\/lib\/systemd\//,
  /^\/var\/tmp\/systemd-private-/,
  /^\/tmp\/systemd-private-/,
  /^\/run\/(systemd|log|dbus|credentials|user|lock|utmp|initctl|motd.d)(\/|$)/,
];

/** One script, so that a snapshot costs one entry into the host. Each line says its kind first. */
const script = `
set -- # what is mounted is not on the host's disk, even when it is a bind of the same file system
while read -r _ _ _ _ target _; do
  case $target in /|/run|/tmp|/dev/shm) ;; *) set -- "$@" -path "$target" -prune -o ;; esac
done </proc/self/mountinfo
find / /run /tmp /dev/shm -mindepth 1 -xdev "$@" -printf 'file %p %y %l\\n' 2>/dev/null
find /etc -type f -exec sha256sum {} + 2>/dev/null | sed 's/^\\([^ ]*\\)  \\(.*\\)/content \\2 \\1/'
while read -r _ _ _ source target rest; do echo "mount $target $source \${rest##* - }"; done </proc/self/mountinfo
ip -o link | awk '{ sub(/@.*/, "", $2); sub(/:$/, "", $2); print "interface", $2 }'
{ ip route show table all; ip -6 route show table all; ip rule; } 2>/dev/null | sed 's/^/route /'
for tables in iptables-save ip6tables-save iptables-legacy-save ip6tables-legacy-save; do
  command -v $tables >/dev/null && $tables 2>/dev/null | sed "/^#/d; /^COMMIT/d; /^\\*/d; s/\\[[0-9:]*\\]//; s/^/firewall $tables /"
done
command -v nft >/dev/null && nft list tables 2>/dev/null | sed 's/^table/firewall table/'
if [ -d /run/systemd/system ]; then
  systemctl list-unit-files --no-legend --plain 2>/dev/null | awk '{ print "unit", $1, $2 }'
  systemctl list-units --all --no-legend --plain 2>/dev/null | awk '$3 == "active" || $3 == "failed" { print "unit", $1, $3 }'
fi
for process in /proc/[0-9]*; do
  read -r name <"$process/comm" 2>/dev/null && echo "process $name"
done 2>/dev/null
true
`;

export async function takeSnapshot(tryRun: Host["tryRun"]): Promise<HostSnapshot> {
  const { exitCode, stdout, stderr } = await tryRun(["sh", "-c", script], { timeoutMs: 60_000 });
  if (exitCode !== 0) throw new Error(`cannot take a snapshot of the host\n${stderr}`);
  const found: Record<string, Set<string>> = {};
  for (const line of stdout.split("\n")) {
    const at = line.indexOf(" ");
    if (at < 0) continue;
    const kind = line.slice(0, at);
    const thing = line.slice(at + 1).trimEnd();
    if (isNoise(kind, thing)) continue;
    found[kind] ??= new Set();
    found[kind].add(thing);
  }
  return Object.fromEntries(Object.entries(found).map(([kind, things]) => [kind, [...things].sort()]));
}

function isNoise(kind: string, thing: string): boolean {
  switch (kind) {
    case "file":
      return restless.some((pattern) => pattern.test(thing));
    case "route": // link-local addresses come and go with their interfaces, which are lines of their own
      return /(^| )fe80:/.test(thing);
    case "mount":
      return /^\/run\/(credentials|user)\//.test(thing);
    case "process": // what looks, and what systemd starts and stops as it likes
      return /^(sh|find|sed|awk|mawk|ip|systemctl|sleep|systemd|\(sd-pam\)|systemd-journal|dbus-daemon|systemd-tmpfile)$/.test(
        thing,
      );
    case "unit": // systemd's own, started when they are needed
      return /^(systemd-(tmpfiles-clean|hostnamed|timedated|localed)|user@|user-runtime-dir@|session-|user-|run-credentials|init\.scope)/.test(
        thing,
      );
    case "firewall": // a chain or table every kernel has; rules in it are lines of their own
      return (
        /:(PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING) ACCEPT/.test(thing) ||
        /^table ip6? (filter|nat|mangle|raw|security)$/.test(thing)
      );
    default:
      return false;
  }
}

/** What there is now and was not there before, and what is gone: `+ file /etc/x f`, `- unit y.service enabled`. */
function compareSnapshots(before: HostSnapshot, after: HostSnapshot): string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].sort().flatMap((kind) => {
    const was = new Set(before[kind]);
    const is = new Set(after[kind]);
    return [
      ...[...is].filter((thing) => !was.has(thing)).map((thing) => `+ ${kind} ${thing}`),
      ...[...was].filter((thing) => !is.has(thing)).map((thing) => `- ${kind} ${thing}`),
    ];
  });
}

/** How a host differs from an earlier moment; empty when nothing was left behind. */
export async function scanHost(host: Host, before: HostSnapshot): Promise<string[]> {
  return compareSnapshots(before, await host.snapshot());
}
