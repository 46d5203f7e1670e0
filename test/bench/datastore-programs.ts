import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { cacheDirectory, cacheKey, createCache } from "../kubernetes/cache.ts";
import { ensureComponents } from "../kubernetes/ensure-components.ts";
import { runCommand } from "../kubernetes/run-command.ts";

export interface DatastorePrograms {
  readonly etcd: string;
  readonly kine: string;
  /** etcd's own load tool. */
  readonly benchmark: string;
  /** What that tool cannot do; see test/kubernetes/go-load. */
  readonly load: string;
}

interface GoTool {
  readonly name: string;
  readonly directory: string;
  readonly target: string;
  readonly cgo: "0" | "1";
}

const modules = join(import.meta.dirname, "..", "kubernetes");
const tools = {
  /** Its SQLite is the C one, as in its releases. */
  kine: { name: "kine", directory: "go-kine", target: "github.com/k3s-io/kine", cgo: "1" },
  benchmark: {
    name: "benchmark",
    directory: "go-load",
    target: "go.etcd.io/etcd/v3/tools/benchmark",
    cgo: "0",
  },
  load: { name: "load", directory: "go-load", target: ".", cgo: "0" },
} as const satisfies Record<string, GoTool>;

/** A first build of all, on two cores. */
const buildDeadlineMs = 20 * 60_000;

/** All programs of the comparison, built from pinned modules where the cache does not have them. */
export async function datastorePrograms(report: (line: string) => void): Promise<DatastorePrograms> {
  const components = await ensureComponents({ also: ["etcd-3.6"], report: () => {} });
  const signal = new AbortController().signal;
  const cache = createCache({ directory: cacheDirectory(process.env), signal, report });
  const obtain = async (tool: GoTool): Promise<string> => {
    const directory = join(modules, tool.directory);
    const inputs = tool.target === "." ? ["go.mod", "go.sum", "main.go"] : ["go.mod", "go.sum"];
    const texts = await Promise.all(inputs.map((file) => readFile(join(directory, file), "utf8")));
    const key = cacheKey(tool.name, [tool, process.arch, texts]);
    await cache.obtain("parts", key, async (into) => {
      report(`building ${tool.name} from Go modules`);
      await mkdir(join(into, "bin"), { recursive: true });
      await runCommand({
        program: "nice",
        args: ["-n", "10", "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o"].concat(
          join(into, "bin", tool.name),
          tool.target,
        ),
        cwd: directory,
        env: { GOTOOLCHAIN: "local", GOFLAGS: "-mod=readonly", GOWORK: "off", CGO_ENABLED: tool.cgo },
        signal,
        deadlineMs: buildDeadlineMs,
      });
      return { name: tool.name };
    });
    return join(cache.path("parts", key), "bin", tool.name);
  };
  // One after the other: each build already uses all cores.
  const kine = await obtain(tools.kine);
  const benchmark = await obtain(tools.benchmark);
  const load = await obtain(tools.load);
  return { etcd: join(components.bin, "etcd-3.6", "etcd"), kine, benchmark, load };
}
