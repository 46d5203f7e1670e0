import { access, cp, lstat, mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "@k8sd/k8sd/lib/app-error.ts";
import type { HostLayer } from "../manifest.ts";
import type { Debian } from "./debian.ts";
import type { Obtained, SourceContext } from "./source.ts";

/** Documents, and units and generators that would stand before those of the machine's own systemd. */
const unwanted = [
  "share/doc",
  "share/doc-base",
  "share/man",
  "share/lintian",
  "share/bash-completion",
  "share/initramfs-tools",
  "lib/systemd",
];

/** Laid over the machine's /usr, these would break every program of it. */
const forbidden = /^(libc\.so|libc-|ld-linux|libpthread|libdl|libm\.so|libsystemd|libudev)/;

/** What the packages' own installation would do through update-alternatives. */
const alternatives = [
  "iptables",
  "iptables-save",
  "iptables-restore",
  "ip6tables",
  "ip6tables-save",
  "ip6tables-restore",
];

/** Unpacks the packages of the host layer into `usr/`, as a system with merged /usr has them. */
export async function hostLayerFromDebian(
  layer: HostLayer,
  context: SourceContext,
  deps: { readonly debian: Debian },
): Promise<Obtained> {
  const scratch = await mkdtemp(join(context.scratch, "layer-"));
  const usr = join(context.tree, "usr");
  try {
    const { suite, version } = await deps.debian.unpack(layer, scratch);
    await mkdir(join(usr, "lib"), { recursive: true });
    await cp(join(scratch, "usr"), usr, { recursive: true, verbatimSymlinks: true });
    for (const each of ["bin", "sbin", "lib"]) await mergeDirectory(join(scratch, each), join(usr, each));
    for (const each of unwanted) await rm(join(usr, each), { recursive: true, force: true });
    for (const each of alternatives) {
      const link = join(usr, "sbin", each);
      await rm(link, { force: true });
      await symlink("xtables-nft-multi", link);
    }
    await checkLibraries(usr);
    for (const file of layer.files) {
      await access(join(usr, file)).catch((cause: unknown) => {
        throw new AppError("unavailable", `cannot use ${suite}'s packages: usr/${file} is in none of them`, { cause });
      });
    }
    return { version, detail: `Debian ${suite}, ${layer.packages.length} packages` };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function mergeDirectory(from: string, to: string): Promise<void> {
  const exists = await lstat(from).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (exists) await cp(from, to, { recursive: true, verbatimSymlinks: true });
}

async function checkLibraries(usr: string): Promise<void> {
  const shadowing = (await readdir(join(usr, "lib"), { recursive: true })).find((path) =>
    forbidden.test(path.slice(path.lastIndexOf("/") + 1)),
  );
  if (shadowing !== undefined) {
    throw new AppError(
      "invalid",
      `cannot use the packages of the host layer: ${shadowing} would hide the machine's own`,
    );
  }
}
