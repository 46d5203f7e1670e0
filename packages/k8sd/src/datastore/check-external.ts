import { isKind } from "../lib/app-error.ts";
import { type Channel, type ClientTls, openChannel } from "./channel.ts";
import { rangeRequest, txnRequest } from "./convert.ts";
import { reasonText } from "./etcd-members-facts.ts";
import { RangeRequest, RangeResponse, StatusRequest, StatusResponse, TxnRequest, TxnResponse } from "./gen/etcd.ts";
import { ifTold } from "./told.ts";

/** Why a datastore that somebody else runs cannot hold the cluster, and what to do. */
export interface ExternalProblem {
  readonly message: string;
  readonly remedy: string;
}

export interface ExternalDatastore {
  /** Client URLs, each of which has to work. */
  readonly endpoints: readonly string[];
  readonly tls: ClientTls;
}

/** k8sd's own keys, kube-apiserver's, and the one by which several of it agree who compacts. */
export const neededPrefixes = ["k8sd/", "/registry/", "compact_rev_key"];
/** What kube-apiserver asks of etcd. */
const oldestVersion = [3, 5];
const answerMs = 5_000;

const grants = neededPrefixes.map((prefix) => `etcdctl role grant-permission ROLE --prefix=true readwrite ${prefix}`);

/** All that stands in the way of a new cluster; nothing stays behind in the datastore. */
export async function externalProblems(
  { endpoints, tls }: ExternalDatastore,
  signal: AbortSignal,
): Promise<readonly ExternalProblem[]> {
  const seen = await Promise.all(endpoints.map((endpoint) => look(endpoint, tls, signal)));
  signal.throwIfAborted();
  const problems = seen.flatMap((one) => one.problems);
  const clusters = new Map(
    seen.flatMap(({ endpoint, clusterId }) => (clusterId === undefined ? [] : [[clusterId, endpoint]])),
  );
  if (clusters.size > 1) {
    problems.push({
      message: `the servers ${[...clusters.values()].join(" and ")} belong to different datastores`,
      remedy: "List only the members of one etcd cluster in datastore-servers.",
    });
  }
  return problems.length > 0 ? problems : await contentProblems(endpoints, tls, signal);
}

interface Look {
  readonly endpoint: string;
  readonly clusterId: bigint | undefined;
  readonly problems: readonly ExternalProblem[];
}

async function look(endpoint: string, tls: ClientTls, signal: AbortSignal): Promise<Look> {
  const channel = openChannel({ endpoints: [endpoint], tls, timeoutMs: answerMs });
  try {
    const [prefix = ""] = neededPrefixes;
    const { header } = await read(channel, prefix, signal);
    return { endpoint, clusterId: header?.clusterId, problems: await stateProblems(endpoint, channel, signal) };
  } catch (error) {
    signal.throwIfAborted();
    return { endpoint, clusterId: undefined, problems: [unusable(endpoint, error)] };
  } finally {
    channel.close();
  }
}

function unusable(endpoint: string, error: unknown): ExternalProblem {
  if (isKind(error, "forbidden")) return forbidden(endpoint, error);
  return {
    message: `the datastore server ${endpoint} cannot be used: ${reasonText(error)}`,
    remedy:
      "Check datastore-servers, that the server runs and can be reached from here, and datastore-ca-crt and datastore-client-crt.",
  };
}

function forbidden(endpoint: string, error: unknown): ExternalProblem {
  return {
    message: `the datastore server ${endpoint} does not let us read and write our keys: ${reasonText(error)}`,
    remedy: `Give the user of the client certificate a role with: ${grants.join("; ")}.`,
  };
}

/** etcd tells its state to administrators alone: of others it is not asked. */
async function stateProblems(
  endpoint: string,
  channel: Channel,
  signal: AbortSignal,
): Promise<readonly ExternalProblem[]> {
  const path = "/etcdserverpb.Maintenance/Status";
  const status = await ifTold(channel.unary("ask the state of", path, StatusRequest, StatusResponse, {}, { signal }));
  if (status === undefined) return [];
  const problems: ExternalProblem[] = [];
  if (isOlder(status.version)) {
    problems.push({
      message: `the datastore server ${endpoint} is etcd ${status.version}, which kube-apiserver does not work with`,
      remedy: `Use etcd ${oldestVersion.join(".")} or later.`,
    });
  }
  if (status.isLearner) {
    problems.push({
      message: `the datastore server ${endpoint} is a learner, which answers no reads`,
      remedy: "Promote it, or leave it out of datastore-servers.",
    });
  }
  for (const alarm of status.errors) {
    problems.push({
      message: `the datastore server ${endpoint} reports: ${alarm.trim()}`,
      remedy: "Remove the cause, then disarm the alarm with 'etcdctl alarm disarm'.",
    });
  }
  return problems;
}

function isOlder(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [oldMajor = 0, oldMinor = 0] = oldestVersion;
  return major < oldMajor || (major === oldMajor && minor < oldMinor);
}

/** Whether it lets us write, and holds nothing that a new cluster would take for its own. */
async function contentProblems(
  endpoints: readonly string[],
  tls: ClientTls,
  signal: AbortSignal,
): Promise<readonly ExternalProblem[]> {
  const channel = openChannel({ endpoints, tls, timeoutMs: answerMs });
  const where = endpoints.join(", ");
  try {
    const held: string[] = [];
    for (const prefix of neededPrefixes) {
      const { count } = await read(channel, prefix, signal);
      if (count > 0) held.push(`${count} ${count === 1 ? "key" : "keys"} below ${prefix}`);
    }
    if (held.length > 0) {
      return [
        {
          message: `the datastore ${where} is not empty: it holds ${held.join(" and ")}`,
          remedy: "Give a datastore without these keys; k8s never deletes data that it did not write.",
        },
      ];
    }
    for (const prefix of neededPrefixes) await tryWrite(channel, prefix, signal);
    return [];
  } catch (error) {
    signal.throwIfAborted();
    return [unusable(where, error)];
  } finally {
    channel.close();
  }
}

async function read(channel: Channel, prefix: string, signal: AbortSignal): Promise<RangeResponse> {
  const request = rangeRequest({ prefix }, { countOnly: true });
  return channel.unary("read from", "/etcdserverpb.KV/Range", RangeRequest, RangeResponse, request, { signal });
}

/** Permission is asked for what a transaction would write; its comparison never holds, so that it writes nothing. */
async function tryWrite(channel: Channel, key: string, signal: AbortSignal): Promise<void> {
  const request = txnRequest({
    compare: [{ key, target: "version", is: "<", to: 0 }],
    success: [
      { op: "put", key, value: "" },
      { op: "delete", range: { prefix: `${key}/` } },
    ],
  });
  await channel.unary("write to", "/etcdserverpb.KV/Txn", TxnRequest, TxnResponse, request, { signal });
}
