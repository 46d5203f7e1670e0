import { isIPv6 } from "node:net";
import { parse, stringify } from "yaml";
import { AppError } from "../lib/app-error.ts";

/** What a kubeconfig of ours says: one server, one identity. PEM texts, not yet base64. */
export interface KubeconfigContent {
  /** `https://host:port` */
  readonly server: string;
  readonly certificateAuthority: string;
  readonly certificate: string;
  readonly key: string;
}

/** Far above any kubeconfig with embedded certificates. */
const maxKubeconfigBytes = 1024 * 1024;

/** The URL of a server, with the brackets an IPv6 address needs. */
export function serverUrl(host: string, port: number): string {
  const bracketed = isIPv6(host) ? `[${host}]` : host;
  return `https://${bracketed}:${port}`;
}

export function renderKubeconfig(content: KubeconfigContent): string {
  return stringify(
    {
      apiVersion: "v1",
      kind: "Config",
      clusters: [
        {
          name: "k8s",
          cluster: { "certificate-authority-data": encode(content.certificateAuthority), server: content.server },
        },
      ],
      users: [
        {
          name: "k8s-user",
          user: { "client-certificate-data": encode(content.certificate), "client-key-data": encode(content.key) },
        },
      ],
      contexts: [{ name: "k8s", context: { cluster: "k8s", user: "k8s-user" } }],
      "current-context": "k8s",
      preferences: {},
    },
    { lineWidth: 0 },
  );
}

/** Reads the current context of a kubeconfig with embedded certificates. */
export function parseKubeconfig(text: string): KubeconfigContent {
  if (text.length > maxKubeconfigBytes) throw invalid(`it is longer than ${maxKubeconfigBytes} bytes`);
  let document: unknown;
  try {
    document = parse(text, { maxAliasCount: 0 });
  } catch (cause) {
    throw invalid("it is not YAML", cause);
  }
  const context = named(document, "contexts", textOf(document, "current-context"), "context");
  const cluster = named(document, "clusters", textOf(context, "cluster"), "cluster");
  const user = named(document, "users", textOf(context, "user"), "user");
  const server = textOf(cluster, "server");
  if (!URL.canParse(server) || new URL(server).protocol !== "https:") throw invalid("its server is not an https URL");
  return {
    server,
    certificateAuthority: decode(cluster, "certificate-authority-data"),
    certificate: decode(user, "client-certificate-data"),
    key: decode(user, "client-key-data"),
  };
}

function encode(pem: string): string {
  return Buffer.from(pem, "utf8").toString("base64");
}

function decode(holder: unknown, key: string): string {
  return Buffer.from(textOf(holder, key), "base64").toString("utf8");
}

function field(holder: unknown, key: string): unknown {
  return typeof holder === "object" && holder !== null ? Reflect.get(holder, key) : undefined;
}

function textOf(holder: unknown, key: string): string {
  const value = field(holder, key);
  if (typeof value !== "string" || value === "") throw invalid(`${key} is missing`);
  return value;
}

function named(document: unknown, list: string, name: string, content: string): unknown {
  const entries = field(document, list);
  const entry = Array.isArray(entries) ? entries.find((candidate) => field(candidate, "name") === name) : undefined;
  if (entry === undefined) throw invalid(`${list} holds no ${JSON.stringify(name)}`);
  return field(entry, content);
}

function invalid(reason: string, cause?: unknown): AppError {
  return new AppError("invalid", `cannot read the kubeconfig: ${reason}`, { cause });
}
