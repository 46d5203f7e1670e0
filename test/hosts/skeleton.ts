import { randomBytes } from "node:crypto";
import { copyFileSync, existsSync, lstatSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { exec } from "./exec.ts";

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
    mkdirSync(join(root, dir), { recursive: true });
  }
  for (const dir of ["run", "proc", "sys", "dev", "root", "home", "opt", "mnt", "srv"]) {
    mkdirSync(join(root, dir), { recursive: true });
  }
  for (const dir of ["tmp", "var/tmp"]) mkdirSync(join(root, dir), { recursive: true, mode: 0o1777 });
  symlinkSync("/run", join(root, "var/run"));
  for (const link of ["bin", "sbin", "lib", "lib32", "lib64", "libx32"]) {
    if (lstatSync(`/${link}`, { throwIfNoEntry: false })?.isSymbolicLink())
      symlinkSync(`usr/${link}`, join(root, link));
  }
  await writeEtc(join(root, "etc"), options);
  if (options.systemd) writeSystemdSettings(join(root, "etc/systemd"));
}

async function writeEtc(etc: string, { name, addresses }: SkeletonOptions): Promise<void> {
  symlinkSync("../usr/lib/os-release", join(etc, "os-release"));
  const copied = [
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "nsswitch.conf",
    "services",
    "protocols",
    "alternatives",
  ];
  const present = copied.map((each) => join("/etc", each)).filter((each) => existsSync(each));
  await exec("cp", ["-a", ...present, etc]);
  if (existsSync("/etc/ssl/openssl.cnf")) {
    mkdirSync(join(etc, "ssl"));
    copyFileSync("/etc/ssl/openssl.cnf", join(etc, "ssl/openssl.cnf"));
  }
  // The system's users alone: no person of the machine, and nobody's password.
  writeFileSync(join(etc, "passwd"), systemEntries("/etc/passwd"));
  writeFileSync(join(etc, "group"), systemEntries("/etc/group"));
  writeFileSync(join(etc, "shadow"), "root:*:19000::::::\n", { mode: 0o640 });
  writeFileSync(join(etc, "hostname"), `${name}\n`);
  const hosts = [
    "127.0.0.1 localhost",
    "::1 localhost ip6-localhost",
    ...addresses.map((address) => `${address} ${name}`),
  ];
  writeFileSync(join(etc, "hosts"), `${hosts.join("\n")}\n`);
  writeFileSync(join(etc, "machine-id"), `${randomBytes(16).toString("hex")}\n`, { mode: 0o444 });
  writeFileSync(join(etc, "resolv.conf"), ""); // the kubelet wants it to be there
}

function systemEntries(file: string): string {
  const lines = readFileSync(file, "utf8").trim().split("\n");
  const isSystem = (id: number) => id < 1000 || id === 65534;
  return `${lines.filter((line) => isSystem(Number(line.split(":")[2]))).join("\n")}\n`;
}

function writeSystemdSettings(dir: string): void {
  for (const unit of maskedUnits) symlinkSync("/dev/null", join(dir, "system", unit));
  symlinkSync("/usr/lib/systemd/system/multi-user.target", join(dir, "system/default.target"));
  writeFileSync(
    join(dir, "journald.conf.d/host.conf"),
    "[Journal]\nReadKMsg=no\nAudit=no\nStorage=persistent\nRateLimitBurst=0\nSystemMaxUse=256M\n",
  );
  // A stuck service must not hold up the end of a test for the usual 90 seconds.
  writeFileSync(join(dir, "system.conf.d/host.conf"), "[Manager]\nDefaultTimeoutStopSec=10s\n");
}
