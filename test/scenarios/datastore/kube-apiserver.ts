import { spawn } from "node:child_process";
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { vi } from "vitest";
import { freePort } from "../../datastore/support/servers.ts";
import { ensureComponents } from "../../kubernetes/ensure-components.ts";
import { createKubeApi, type KubeApi } from "./kube-api.ts";

export interface KubeApiserver extends AsyncDisposable {
  readonly api: KubeApi;
  /** The last of what it wrote. */
  output(): string;
}

export interface KubeApiserverOptions {
  readonly etcdServers: string;
  /** For its key and certificate. */
  readonly folder: string;
  readonly args?: readonly string[];
}

/** It lists all of the datastore first; on a busy machine that takes minutes. */
const readyMs = 180_000;

/** A real kube-apiserver on loopback with nothing beside it but a datastore. */
export async function startKubeApiserver(options: KubeApiserverOptions): Promise<KubeApiserver> {
  const { bin } = await ensureComponents({ report: (line) => console.error(line) });
  const { folder } = options;
  const token = randomUUID();
  const key = join(folder, "service-account.key");
  const tokens = join(folder, "tokens.csv");
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  await writeFile(key, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  await writeFile(tokens, `${token},admin,admin,system:masters\n`, { mode: 0o600 });
  const port = await freePort();
  const child = spawn(
    join(bin, "kube-apiserver"),
    [
      `--etcd-servers=${options.etcdServers}`,
      ...["--bind-address=127.0.0.1", `--secure-port=${port}`, `--cert-dir=${join(folder, "certificates")}`],
      // An address of documentation: nobody is to reach it.
      ...["--advertise-address=192.0.2.1", "--endpoint-reconciler-type=none"],
      ...[`--token-auth-file=${tokens}`, "--authorization-mode=AlwaysAllow", "--anonymous-auth=false"],
      ...["--service-cluster-ip-range=10.152.183.0/24", "--service-account-issuer=https://kubernetes.default.svc"],
      ...[`--service-account-key-file=${key}`, `--service-account-signing-key-file=${key}`],
      ...["--disable-admission-plugins=ServiceAccount", "--profiling=false"],
      ...(options.args ?? []),
    ],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-20_000);
    });
  }
  await using stack = new AsyncDisposableStack();
  stack.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  });
  const serves = async (): Promise<KubeApi> => {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
    const ca = await readFile(join(folder, "certificates", "apiserver.crt"));
    const api = createKubeApi(`https://127.0.0.1:${port}`, ca, token);
    try {
      const { status } = await api.call("GET", "/api/v1/namespaces/default");
      if (status === 200) return api;
      throw new Error(`the default namespace is answered by ${status}`);
    } catch (error) {
      api[Symbol.dispose]();
      throw error;
    }
  };
  const api = await vi.waitFor(serves, { timeout: readyMs, interval: 300 }).catch((error: unknown) => {
    throw new Error(`kube-apiserver is not ready: ${output}`, { cause: error });
  });
  stack.use(api);
  const owned = stack.move();
  return { api, output: () => output, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
