import { parseArgs } from "node:util";
import { parseDuration } from "../host/duration.ts";
import { AppError } from "../lib/app-error.ts";

export interface ProxyOptions {
  /** Without a host: all addresses of the machine. */
  readonly listen: { readonly host?: string; readonly port: number };
  readonly endpointsFile: string;
  /** 0: the file is read again only when the kernel tells of a change. */
  readonly refreshMs: number;
  readonly logLevel: string;
}

/** A file system that tells of no changes is looked at this often at most: more would be load without use. */
const shortestRefreshMs = 15_000;

export function parseProxyOptions(argv: readonly string[]): ProxyOptions {
  const { values } = parse(argv);
  return {
    listen: parseListen(values.listen),
    endpointsFile: values.endpoints,
    refreshMs: parseRefresh(values["refresh-interval"]),
    logLevel: values["log-level"],
  };
}

function parse(argv: readonly string[]) {
  const text = { type: "string" } as const;
  try {
    return parseArgs({
      args: [...argv],
      options: {
        listen: { ...text, default: ":6443" },
        endpoints: { ...text, default: "/etc/kubernetes/k8s-apiserver-proxy.json" },
        // Of the contract: whoever asked the API servers for their addresses needed it. Here k8sd writes them.
        kubeconfig: { ...text, default: "/etc/kubernetes/kubelet.conf" },
        "refresh-interval": { ...text, default: "30s" },
        "log-level": { ...text, default: "info" },
      },
    });
  } catch (error) {
    throw new AppError("invalid", "cannot start k8s-apiserver-proxy: unknown or incomplete flag", { cause: error });
  }
}

function parseListen(value: string): ProxyOptions["listen"] {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(value);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) throw invalid("--listen", `${value} is no address:port`);
  const host = match[1] ?? match[2] ?? "";
  return host === "" ? { port } : { host, port };
}

function parseRefresh(value: string): number {
  const milliseconds = value === "0" ? 0 : parseDuration(value);
  if (milliseconds === undefined) throw invalid("--refresh-interval", `${value} is no duration such as 30s`);
  return milliseconds === 0 ? 0 : Math.max(milliseconds, shortestRefreshMs);
}

function invalid(field: string, reason: string): AppError {
  return new AppError("invalid", `cannot start k8s-apiserver-proxy: ${field}: ${reason}`, { field });
}
