import { parseArgs } from "node:util";
import { AppError } from "../../lib/app-error.ts";
import type { KeyLimits } from "./permission.ts";

export interface ListenAddress {
  readonly url: string;
  readonly tls: boolean;
  readonly where: { readonly host: string; readonly port: number } | { readonly path: string };
}

export interface ServerOptions {
  readonly name: string;
  readonly dataDir: string;
  readonly listen: readonly ListenAddress[];
  readonly advertise: readonly string[];
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly caFile: string | undefined;
  readonly clientCertAuth: boolean;
  readonly quotaBytes: number;
  readonly progressIntervalMs: number;
  /** Of a new store: all before it counts as compacted, for content that comes from another one. */
  readonly initialRevision: number;
  /** Of clients with certificates; all others have all keys. */
  readonly keyLimits: KeyLimits;
  /** It ends with its standard input, and so with who started it, however that one ends. */
  readonly untilStdinEnds: boolean;
  /** A file that holds the URL of a PostgreSQL database, which takes the place of the data directory's own store. */
  readonly databaseUrlFile: string | undefined;
  readonly logLevel: string;
}

/** etcd's default of 2 GiB, which is what kube-apiserver is sized for. */
const defaultQuotaBytes = 2 * 1024 ** 3;
/** What Kubernetes' own set-up tool gives etcd: consistent reads from kube-apiserver's cache wait for it at most once. */
const defaultProgressInterval = "5s";

/** Flags bear etcd's names where they mean the same. */
export function parseOptions(args: readonly string[]): ServerOptions {
  const text = { type: "string" } as const;
  const { values } = refuseWithField(() =>
    parseArgs({
      // A flag without value is true, as everywhere; in an argument file it has one.
      args: args.map((arg) => (["--client-cert-auth", "--until-stdin-ends"].includes(arg) ? `${arg}=true` : arg)),
      options: {
        name: { ...text, default: "default" },
        "data-dir": text,
        "listen-client-urls": { ...text, default: "http://127.0.0.1:2379" },
        "advertise-client-urls": text,
        "cert-file": text,
        "key-file": text,
        "trusted-ca-file": text,
        "client-cert-auth": { ...text, default: "false" },
        "quota-backend-bytes": { ...text, default: String(defaultQuotaBytes) },
        "watch-progress-notify-interval": { ...text, default: defaultProgressInterval },
        "initial-revision": { ...text, default: "1" },
        "client-keys": { ...text, multiple: true, default: [] },
        "until-stdin-ends": { ...text, default: "false" },
        "database-url-file": text,
        "log-level": { ...text, default: "info" },
      },
    }),
  );
  const listen = list(values["listen-client-urls"]).map(parseListenUrl);
  const dataDir = values["data-dir"];
  if (!dataDir) throw invalid("data-dir", "is required");
  const options: ServerOptions = {
    name: values.name,
    dataDir,
    listen,
    advertise: list(values["advertise-client-urls"] ?? ""),
    certFile: values["cert-file"],
    keyFile: values["key-file"],
    caFile: values["trusted-ca-file"],
    clientCertAuth: flag("client-cert-auth", values["client-cert-auth"]),
    quotaBytes: positive("quota-backend-bytes", values["quota-backend-bytes"]),
    progressIntervalMs: duration("watch-progress-notify-interval", values["watch-progress-notify-interval"]),
    initialRevision: positive("initial-revision", values["initial-revision"]),
    keyLimits: new Map(values["client-keys"].map(parseKeyLimit)),
    untilStdinEnds: flag("until-stdin-ends", values["until-stdin-ends"]),
    databaseUrlFile: values["database-url-file"],
    logLevel: values["log-level"],
  };
  if (listen.length === 0) throw invalid("listen-client-urls", "names no address");
  if (listen.some(({ tls }) => tls) && !(options.certFile && options.keyFile)) {
    throw invalid("cert-file", "and --key-file are required for https addresses");
  }
  if (options.clientCertAuth && !options.caFile)
    throw invalid("trusted-ca-file", "is required with --client-cert-auth");
  return options;
}

function parseListenUrl(url: string): ListenAddress {
  const field = "listen-client-urls";
  if (url.startsWith("unix://")) {
    const path = url.slice("unix://".length);
    if (!path.startsWith("/")) throw invalid(field, `holds ${url}: a socket needs an absolute path`);
    return { url, tls: false, where: { path } };
  }
  if (!URL.canParse(url)) throw invalid(field, `holds ${url}, which is no URL`);
  const parsed = new URL(url);
  const host = parsed.hostname.replace(/^\[|\]$/g, "");
  const tls = parsed.protocol === "https:";
  if (!tls && parsed.protocol !== "http:") throw invalid(field, `holds ${url}: use https, http or unix`);
  const loopback = host === "::1" || host === "localhost" || /^127\./.test(host);
  if (!tls && !loopback) throw invalid(field, `holds ${url}: http is for loopback addresses only`);
  const port = parsed.port === "" ? (tls ? 443 : 80) : Number(parsed.port);
  return { url, tls, where: { host, port } };
}

const list = (text: string): string[] => text.split(",").filter((entry) => entry !== "");

/** COMMON_NAME=PREFIX[,PREFIX...] */
function parseKeyLimit(value: string): [string, readonly string[]] {
  const at = value.indexOf("=");
  const prefixes = list(value.slice(at + 1));
  if (at < 1 || prefixes.length === 0) {
    throw invalid(
      "client-keys",
      `is ${value}: write the certificate's common name, = and prefixes with commas between`,
    );
  }
  return [value.slice(0, at), prefixes];
}

function flag(field: string, text: string): boolean {
  if (text === "true" || text === "false") return text === "true";
  throw invalid(field, `is ${text}, neither true nor false`);
}

function positive(field: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value <= 0) throw invalid(field, `is ${text}, not a positive whole number`);
  return value;
}

function duration(field: string, text: string): number {
  const match = /^(\d+)(ms|s|m|h)$/.exec(text);
  const unit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match?.[2] ?? ""];
  if (!match || unit === undefined) throw invalid(field, `is ${text}, not a duration such as 5s or 10m`);
  return positive(field, match[1] ?? "") * unit;
}

function invalid(field: string, reason: string): AppError {
  return new AppError("invalid", `cannot start k8s-datastore: --${field} ${reason}`, { field: `--${field}` });
}

function refuseWithField<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new AppError("invalid", "cannot start k8s-datastore: unknown or incomplete flag", { cause: error });
  }
}
