import { mkdir, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { stageSnap } from "../snap/stage.ts";
import { type Components, ensureComponents } from "./kubernetes/ensure-components.ts";

export interface StageOptions {
  /** False: only our own programs, in a few seconds. */
  readonly kubernetes: boolean;
  readonly signal?: AbortSignal;
  readonly report?: (line: string) => void;
}

/** What a test host needs to be a node. */
export interface Staged {
  /** The tree that is `$SNAP` in a host. */
  readonly snap: string;
  /** Layers over the machine's /usr. */
  readonly usrLayers: readonly string[];
  /** Image archives, by absolute path. */
  readonly images: readonly string[];
  /** For child processes: `stagedFromEnvironment` gives the same there. */
  readonly env: Readonly<Record<string, string>>;
}

const repository = join(import.meta.dirname, "..");
const variable = "K8SD_STAGED";

/** Builds our programs and lays them out with the upstream ones, as the snap does. */
export async function stage(options: StageOptions): Promise<Staged> {
  const report = options.report ?? ((line: string) => console.error(line));
  const [components] = await Promise.all([
    options.kubernetes ? ensureComponents({ ...options, report }) : undefined,
    bundle(),
  ]);
  const snap = join(repository, "dist", options.kubernetes ? "snap" : "snap-agent-only");
  await stageSnap({ out: snap, ...(components === undefined ? {} : { components: components.root }) });
  const layer = await commandLayer();
  const staged = {
    snap,
    usrLayers: [layer, ...(components === undefined ? [] : [components.usr])],
    images: imagesOf(components),
  };
  // Tests of the datastore compare with the real one.
  const etcd = options.kubernetes ? { K8SD_TEST_ETCD: join(snap, "bin") } : {};
  return { ...staged, env: { ...etcd, [variable]: JSON.stringify(staged) } };
}

/** What the runner of the tests staged, or a stage of its own for a test that is started by hand. */
export async function stagedForTests(): Promise<Staged> {
  const given = process.env[variable];
  if (given === undefined) return stage({ kubernetes: true });
  return { ...(JSON.parse(given) as Omit<Staged, "env">), env: { [variable]: given } };
}

function imagesOf(components: Components | undefined): readonly string[] {
  return components?.images.map((image) => image.archive) ?? [];
}

async function bundle(): Promise<void> {
  await execa("node_modules/.bin/rolldown", ["-c", "rolldown.config.ts"], { cwd: repository });
}

/** A layer with nothing but the command that users type. */
async function commandLayer(): Promise<string> {
  const layer = join(repository, "dist", "host-usr");
  const bin = join(layer, "local", "bin");
  await mkdir(bin, { recursive: true });
  for (const command of ["k8s", "k8sd"]) {
    await rm(join(bin, command), { force: true });
    await symlink(`/snap/k8s/current/bin/${command}`, join(bin, command));
  }
  return layer;
}
