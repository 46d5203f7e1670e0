import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { homedir } from "node:os";
import { join } from "node:path";
import type { ClientTls } from "../../../src/datastore/channel.ts";
import type { Member } from "../../../src/datastore/datastore.ts";
import { createEtcdMembers } from "../../../src/datastore/etcd-members.ts";
import { initialCluster } from "../../../src/datastore/etcd-members-facts.ts";
import type { AddLearner, EtcdMembers, MemberCall } from "../../../src/datastore/etcd-members-types.ts";
import { makeTestPki } from "./support/certificates.ts";
import { temporaryFolder } from "./support/engine-process.ts";
import { findProgram } from "./support/etcd-process.ts";

const cached = join(homedir(), ".cache/k8sd/current/bin/etcd");
/** A real etcd: what the test run names, else what `npm start` made. */
export const etcdProgram = findProgram("etcd") ?? (existsSync(cached) ? cached : undefined);

export interface TestMember {
  readonly name: string;
  readonly clientUrl: string;
  readonly peerUrl: string;
  readonly data: string;
  start(peers: Readonly<Record<string, string>>, state: "new" | "existing"): void;
  /** kill -9. */
  kill(): Promise<void>;
  runs(): boolean;
  /** Resolves when the process ended by itself. */
  readonly ended: () => Promise<unknown>;
  wipe(): void;
}

export interface TestCluster extends AsyncDisposable {
  readonly members: EtcdMembers;
  /** For clients of any of its members. */
  readonly tls: ClientTls;
  member(name: string): Promise<TestMember>;
  /** All that a node does to get a vote. */
  join(name: string, options?: Partial<AddLearner>): Promise<Member>;
  call(over?: Partial<MemberCall>): MemberCall;
  /** A client that knows these endpoints alone. */
  connect(endpoints: readonly string[]): EtcdMembers;
}

/** A cluster of one over TLS on loopback. @param strict etcd's own check before it changes members */
export async function createTestCluster(strict = false): Promise<TestCluster> {
  const cleanup = new AsyncDisposableStack();
  const folder = cleanup.use(await temporaryFolder());
  const pki = makeTestPki(join(folder.path, "pki"));
  const peer = makePeerCertificate(join(folder.path, "pki"));
  const { ca, cert, key } = pki.files;
  const tls = ["--cert-file", cert, "--key-file", key, "--trusted-ca-file", ca, "--client-cert-auth"];
  tls.push("--peer-cert-file", peer.cert, "--peer-key-file", peer.key, "--peer-trusted-ca-file", ca);
  tls.push("--peer-client-cert-auth", `--strict-reconfig-check=${strict}`, "--enable-grpc-gateway=false");
  const nodes = new Map<string, TestMember>();

  async function member(name: string): Promise<TestMember> {
    const known = nodes.get(name);
    if (known) return known;
    const [clientUrl = "", peerUrl = ""] = (await freePorts(2)).map((port) => `https://127.0.0.1:${port}`);
    const data = join(folder.path, name);
    let child: ChildProcess | undefined;
    const node: TestMember = {
      name,
      clientUrl,
      peerUrl,
      data,
      start(peers, state) {
        const args = ["--name", name, "--data-dir", data, "--log-level", "fatal", "--unsafe-no-fsync"];
        args.push("--listen-client-urls", clientUrl, "--advertise-client-urls", clientUrl);
        args.push("--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl);
        const initial = Object.entries(peers).map(([other, url]) => `${other}=${url}`);
        args.push("--initial-cluster", initial.join(","), "--initial-cluster-state", state);
        child = spawn(etcdProgram ?? "etcd", [...args, ...tls], { stdio: ["ignore", "ignore", "inherit"] });
      },
      runs: () => child !== undefined && child.exitCode === null && child.signalCode === null,
      async kill() {
        if (child === undefined || !node.runs()) return;
        const exited = once(child, "exit");
        child.kill("SIGKILL");
        await exited;
      },
      ended: async () => {
        if (child !== undefined && node.runs()) await once(child, "exit");
      },
      wipe: () => rmSync(data, { recursive: true, force: true }),
    };
    nodes.set(name, node);
    cleanup.defer(() => node.kill());
    return node;
  }

  const signal = AbortSignal.timeout(120_000);
  const call = (over: Partial<MemberCall> = {}): MemberCall => ({ signal, timeoutMs: 45_000, ...over });
  const first = await member("n1");
  first.start({ n1: first.peerUrl }, "new");
  const connect = (endpoints: readonly string[]) =>
    cleanup.use(createEtcdMembers({ endpoints, tls: pki.client, attemptMs: 2_000 }));
  const members = connect([first.clientUrl]);

  async function joinCluster(name: string, options: Partial<AddLearner> = {}): Promise<Member> {
    const node = await member(name);
    const over = call(options);
    const added = await members.addLearner({ name, peerUrls: [node.peerUrl], fresh: true, ...over, ...options });
    const seen = await members.list({ ...over, settled: true });
    // A member answers a new one by what it has applied itself; k8sd begins such a one again, a bare etcd ends or waits for ever.
    for (const { clientUrl } of [...nodes.values()].filter((each) => each.runs())) {
      await connect([clientUrl]).list({ ...over, settled: true });
    }
    node.start(initialCluster(seen.members, node), "existing");
    await members.awaitCaughtUp(added.id, over);
    return members.promote(added.id, over);
  }

  return {
    members,
    tls: pki.client,
    member,
    join: joinCluster,
    call,
    connect,
    [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
  };
}

/** Members are each other's clients and servers: the one certificate with both uses. */
function makePeerCertificate(dir: string): { cert: string; key: string } {
  const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: dir, stdio: "pipe" });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "peer.key"];
  openssl("req", ...key, "-out", "peer.csr", "-subj", "/CN=peer");
  writeFileSync(join(dir, "peer.ext"), "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n");
  const sign = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "peer.ext"];
  openssl("x509", "-req", "-in", "peer.csr", ...sign, "-out", "peer.crt");
  return { cert: join(dir, "peer.crt"), key: join(dir, "peer.key") };
}

/** Held all at once, so that no two are the same. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  const ports: number[] = [];
  for (const server of servers) {
    if (!server.listening) await once(server, "listening");
    const address = server.address();
    ports.push(address && typeof address === "object" ? address.port : 0);
  }
  for (const server of servers) server.close();
  return ports;
}
