import { access, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError, errorText } from "@k8sd/k8sd/lib/app-error.ts";
import type { DebianArchive } from "../manifest.ts";
import type { RunCommand } from "../run-command.ts";

interface DebianOptions {
  readonly archive: DebianArchive;
  /** Lists, caches and downloads go below it; nothing is installed and the machine's own lists are not touched. */
  readonly directory: string;
  readonly signal: AbortSignal;
}

interface PackageWish {
  readonly suites: readonly string[];
  /** All are unpacked; the version of the first one decides whether a suite will do. */
  readonly packages: readonly string[];
  readonly minimum: string;
  readonly below?: string;
}

interface UnpackedPackages {
  readonly suite: string;
  /** Version of the first package. */
  readonly version: string;
}

export interface Debian {
  /** Downloads packages from the first suite that has them in a wanted version, and unpacks them into `target`. */
  unpack(wish: PackageWish, target: string): Promise<UnpackedPackages>;
}

/** Lists are some 10 MB per suite; a mirror that needs longer than this is not usable. */
const updateDeadlineMs = 120_000;
const downloadDeadlineMs = 300_000;
const localDeadlineMs = 60_000;

/** Debian's packages through apt-get with a configuration of its own: own lists, own caches, apt's own signature checks. */
export function createDebian(options: DebianOptions, deps: { readonly run: RunCommand }): Debian {
  const suites = new Map<string, Promise<Suite>>();

  function suite(name: string): Promise<Suite> {
    let opened = suites.get(name);
    if (opened === undefined) {
      opened = openSuite(name, options, deps);
      suites.set(name, opened);
    }
    return opened;
  }

  return {
    async unpack(wish, target) {
      const reasons: string[] = [];
      for (const name of wish.suites) {
        try {
          const opened = await suite(name);
          return { suite: name, version: await opened.unpack(wish, target) };
        } catch (error) {
          options.signal.throwIfAborted();
          reasons.push(`${name}: ${errorText(error)}`);
        }
      }
      throw new AppError("unavailable", reasons.join("; "));
    },
  };
}

interface Suite {
  unpack(wish: PackageWish, target: string): Promise<string>;
}

async function openSuite(name: string, options: DebianOptions, deps: { readonly run: RunCommand }): Promise<Suite> {
  const { signal } = options;
  const home = join(options.directory, name);
  await access(options.archive.keyring).catch((cause: unknown) => {
    throw new AppError("unavailable", `cannot check Debian's signatures: ${options.archive.keyring} is missing`, {
      cause,
    });
  });
  for (const each of ["lists/partial", "cache/archives/partial", "sources"]) {
    await mkdir(join(home, each), { recursive: true });
  }
  await writeFile(join(home, "sources", "debian.sources"), sourcesFile(name, options.archive));
  const dump = await deps.run({ program: "apt-config", args: ["dump"], signal, deadlineMs: localDeadlineMs });
  await writeFile(join(home, "apt.conf"), aptConfiguration(home, dump));
  const env = { APT_CONFIG: join(home, "apt.conf"), LC_ALL: "C" };
  await deps.run({ program: "apt-get", args: ["-qq", "update"], signal, deadlineMs: updateDeadlineMs, env });
  // apt-get download takes no lock of its own: one at a time per suite.
  let last: Promise<unknown> = Promise.resolve();

  async function unpack(wish: PackageWish, target: string): Promise<string> {
    const version = await candidate(wish.packages[0] ?? "");
    await checkVersion(version, wish);
    const downloads = await mkdtemp(join(home, "debs-"));
    try {
      await deps.run({
        program: "apt-get",
        args: ["-qq", "-o", "Acquire::Retries=1", "download", ...wish.packages],
        cwd: downloads,
        signal,
        deadlineMs: downloadDeadlineMs,
        env,
      });
      for (const file of (await readdir(downloads)).filter((each) => each.endsWith(".deb"))) {
        const args = ["-x", join(downloads, file), target];
        await deps.run({ program: "dpkg", args, signal, deadlineMs: localDeadlineMs });
      }
    } finally {
      await rm(downloads, { recursive: true, force: true });
    }
    return version;
  }

  async function candidate(packageName: string): Promise<string> {
    const args = ["policy", packageName];
    const policy = await deps.run({ program: "apt-cache", args, signal, deadlineMs: localDeadlineMs, env });
    const version = /Candidate: (\S+)/.exec(policy)?.[1];
    if (version === undefined || version === "(none)")
      throw new AppError("not-found", `it has no package ${packageName}`);
    return version;
  }

  async function checkVersion(version: string, wish: PackageWish): Promise<void> {
    const limits = [["ge", wish.minimum] as const, ...(wish.below === undefined ? [] : [["lt", wish.below] as const])];
    for (const [relation, limit] of limits) {
      const args = ["--compare-versions", version, relation, limit];
      await deps.run({ program: "dpkg", args, signal, deadlineMs: localDeadlineMs }).catch((cause: unknown) => {
        throw new AppError("unavailable", `its ${wish.packages[0]} ${version} is not ${relation} ${limit}`, { cause });
      });
    }
  }

  return {
    unpack(wish, target) {
      const mine = last.then(() => unpack(wish, target));
      // A failure is the caller's; the next one in the queue starts either way.
      last = mine.catch(() => undefined);
      return mine;
    },
  };
}

/** deb822 sources of one suite; a stable one with its updates. */
export function sourcesFile(suite: string, archive: DebianArchive): string {
  const stanza = (uri: string, suites: string): string =>
    ["Types: deb", `URIs: ${uri}`, `Suites: ${suites}`, "Components: main", `Signed-By: ${archive.keyring}`, ""].join(
      "\n",
    );
  if (!archive.stable.includes(suite)) return stanza(archive.mirror, suite);
  return `${stanza(archive.mirror, `${suite} ${suite}-updates`)}\n${stanza(archive.securityMirror, `${suite}-security`)}`;
}

/**
 * The machine's own settings of how to reach servers (proxies, say) and of how old a mirror may be stay; its hooks, lists
 * and packages do not count.
 */
export function aptConfiguration(home: string, machine: string): string {
  const kept = machine.split("\n").filter((line) => /^Acquire::(https?(::|\s)|Check-(Valid-Until|Date)\s)/i.test(line));
  const own: Record<string, string> = {
    "Dir::Etc::main": "/dev/null",
    "Dir::Etc::parts": "/dev/null",
    "Dir::Etc::sourcelist": "/dev/null",
    "Dir::Etc::sourceparts": join(home, "sources"),
    "Dir::State::lists": join(home, "lists"),
    "Dir::State::status": "/dev/null",
    "Dir::Cache": join(home, "cache"),
    "APT::Sandbox::User": "root",
    "Acquire::Languages": "none",
  };
  return [...kept, ...Object.entries(own).map(([key, value]) => `${key} "${value}";`), ""].join("\n");
}
