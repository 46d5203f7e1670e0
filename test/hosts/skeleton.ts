import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { cp, lstat, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface SkeletonOptions {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly systemd: boolean;
}

/** Units that would touch the machine's devices, clock or kernel, or that ask a person something. */
const maskedUnits = [
  "systemd-udevd.service",
  "systemd-udev-trigger.service",
  "systemd-udevd-control.socket",
  "systemd-udevd-kernel.socket",
  "systemd-modules-load.service",
  "systemd-sysctl.service",
  "systemd-logind.service",
  "systemd-timesyncd.service",
  "systemd-resolved.service",
  "systemd-networkd.service",
  "systemd-journald-audit.socket",
  "systemd-ask-password-console.path",
  "systemd-ask-password-wall.path", // each .path unit costs inotify instances, of which the machine has few
  "dev-hugepages.mount",
  "dev-mqueue.mount",
  "sys-kernel-debug.mount",
  "sys-kernel-tracing.mount",
  "sys-kernel-config.mount",
  "sys-fs-fuse-connections.mount",
  "proc-sys-fs-binfmt_misc.automount",
  "modprobe@.service",
  "getty.target",
];

/** Lays out the disk of a new host: everything but /usr, which is the machine's. */
export async function writeSkeleton(root: string, options: SkeletonOptions): Promise<void> {
  for (const dir of [
    "etc/systemd/system",
    "etc/systemd/journald.conf.d",
    "etc/systemd/system.conf.d",
    "usr",
    "var/lib",
    "var/log/journal",
  ]) {
    await mkdir(join(root, dir), { recursive: true });
  }
  for (const dir of ["run", "proc", "sys", "dev", "root", "home", "opt", "mnt", "srv"]) {
    await mkdir(join(root, dir), { recursive: true });
  }
  for (const dir of ["tmp", "var/tmp"]) await mkdir(join(root, dir), { recursive: true, mode: 0o1777 });
  await symlink("/run", join(root, "var/run"));
  for (const link of ["bin", "sbin", "lib", "lib32", "lib64", "libx32"]) {
    if ((await lstat(`/${link}`).catch(() => undefined))?.isSymbolicLink())
      await symlink(`usr/${link}`, join(root, link));
  }
  await writeEtc(join(root, "etc"), options);
  if (options.systemd) await writeSystemdSettings(join(root, "etc/systemd"));
}

async function writeEtc(etc: string, { name, addresses }: SkeletonOptions): Promise<void> {
  await symlink("../usr/lib/os-release", join(etc, "os-release"));
  for (const each of [
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "nsswitch.conf",
    "services",
    "protocols",
    "alternatives",
    "ssl/openssl.cnf",
  ]) {
    if (existsSync(join("/etc", each)))
      await cp(join("/etc", each), join(etc, each), { recursive: true, verbatimSymlinks: true });
  }
  // The system's users alone: no person of the machine, and nobody's password.
  await writeFile(join(etc, "passwd"), await systemEntries("/etc/passwd"));
  await writeFile(join(etc, "group"), await systemEntries("/etc/group"));
  await writeFile(join(etc, "shadow"), "root:*:19000::::::\n", { mode: 0o640 });
  await writeFile(join(etc, "hostname"), `${name}\n`);
  const hosts = [
    "127.0.0.1 localhost",
    "::1 localhost ip6-localhost",
    ...addresses.map((address) => `${address} ${name}`),
  ];
  await writeFile(join(etc, "hosts"), `${hosts.join("\n")}\n`);
  await writeFile(join(etc, "machine-id"), `${randomBytes(16).toString("hex")}\n`, { mode: 0o444 });
  await writeFile(join(etc, "resolv.conf"), ""); // the kubelet wants it to be there
}

async function systemEntries(file: string): Promise<string> {
  const lines = (await readFile(file, "utf8")).trim().split("\n");
  const isSystem = (id: number) => id < 1000 || id === 65534;
  return `${lines.filter((line) => isSystem(Number(line.split(":")[2]))).join("\n")}\n`;
}

async function writeSystemdSettings(dir: string): Promise<void> {
  for (const unit of maskedUnits) await symlink("/dev/null", join(dir, "system", unit));
  await symlink("/usr/lib/systemd/system/multi-user.target", join(dir, "system/default.target"));
  await writeFile(
    join(dir, "journald.conf.d/host.conf"),
    "[Journal]\nReadKMsg=no\nAudit=no\nStorage=persistent\nRateLimitBurst=0\nSystemMaxUse=256M\n",
  );
  // A stuck service must not hold up the end of a test for the usual 90 seconds.
  await writeFile(join(dir, "system.conf.d/host.conf"), "[Manager]\nDefaultTimeoutStopSec=10s\n");
}
