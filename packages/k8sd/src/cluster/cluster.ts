import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type {
  BootstrapConfig,
  GetClusterConfigResponse,
  GetOperationResponse,
  NodeStatus,
  OperationStatus,
} from "@k8sd/api-types";
import type { Logger } from "pino";
import type { MachineView } from "../components/component.ts";
import type { Host } from "../host/host.ts";
import { parseKubeconfig, renderKubeconfig } from "../kube/kubeconfig.ts";
import { nodes } from "../kube/resources.ts";
import { AppError, isKind } from "../lib/app-error.ts";
import { readTextIfThere } from "../lib/read-file.ts";
import type { Liveness } from "../mesh/member-table.ts";
import type { Audit } from "../node-db/audit.ts";
import type { IdentityStore, NodeIdentity } from "../node-db/identity.ts";
import type { Journal } from "../node-db/journal.ts";
import type { OperationRun, Runner } from "../operations/runner.ts";
import { operationStatus } from "../operations/views.ts";
import { createSetAddress } from "./address/address.ts";
import { createMoves } from "./address/moves.ts";
import { type AuthTokens, createAuthTokens } from "./auth-tokens.ts";
import { type BootstrapInput, planBootstrap } from "./bootstrap/plan.ts";
import { prepareBootstrap } from "./bootstrap/prepare.ts";
import { toConfigResponse } from "./config/user-facing.ts";
import type { Connections } from "./connections.ts";
import { createJoin } from "./join/join.ts";
import { createMembers } from "./join/members.ts";
import { createLedger } from "./ledger.ts";
import { createMigration } from "./migrate/migrate.ts";
import type { NodeKey } from "./node-key.ts";
import type { Notices } from "./notices.ts";
import { createRecords } from "./records.ts";
import type { Copies } from "./recover/copies.ts";
import { createRecovery } from "./recover/recovery.ts";
import type { Roster } from "./roster.ts";
import type { Seal } from "./seal.ts";
import { createSealKey } from "./seal-key/seal-key.ts";
import { createRestore } from "./snapshot/restore.ts";
import { createSnapshots } from "./snapshot/snapshots.ts";
import { createStatus } from "./status.ts";
import { createTokenService } from "./tokens-service.ts";

export interface ClusterOptions {
  /** False: the Kubernetes programs are left out. */
  readonly kubernetes: boolean;
}

export interface ClusterDeps {
  readonly host: Host;
  readonly machine: MachineView;
  readonly identity: IdentityStore<BootstrapInput>;
  readonly runner: Runner;
  readonly journal: Journal;
  readonly seal: () => Promise<Seal>;
  /** Connections of the member that this node is. */
  readonly connections: () => Connections;
  readonly audit: Audit;
  readonly nodeKey: NodeKey;
  /** Of what runs on this node. */
  readonly versions: (signal: AbortSignal) => Promise<Readonly<Record<string, string>>>;
  readonly roster: Pick<Roster, "members" | "replace" | "heardAt">;
  readonly notices: Pick<Notices, "all">;
  readonly copies: Copies;
  /** What this node believes of the others; undefined where it is alone. */
  readonly liveness: () => ReadonlyMap<string, Liveness> | undefined;
  readonly log: Logger;
  readonly now: () => number;
}

export interface BootstrapOrder {
  /** Cleaned host name. */
  readonly name: string;
  /** As requested: it may be empty, or a CIDR. */
  readonly address: string;
  readonly config: BootstrapConfig;
  /** 0 = the domain's own ceiling. */
  readonly timeoutMs: number;
}

type Member = NodeIdentity<BootstrapInput>;

/** A caller's own limit cannot be longer: nobody waits for a bootstrap that takes this long. */
const bootstrapCeilingMs = 3_600_000;
const capiTokenKey = "k8sd/tokens/capi";

/** What the daemon answers about the node and its cluster, and the changes it makes to them. Knows no transport. */
export function createCluster(options: ClusterOptions, deps: ClusterDeps) {
  const { host, identity, runner, journal } = deps;

  function member(): Member {
    const found = identity.read();
    if (found !== undefined) return found;
    throw new AppError("not-initialised", "the node is not part of a cluster", { remedy: "Run 'k8s bootstrap'." });
  }

  const records = async () => createRecords(await deps.connections().datastore());
  const tokens = async (): Promise<AuthTokens> => createAuthTokens(await records(), await deps.seal());

  const joinTokens = createTokenService({
    connections: deps.connections,
    hasKubernetesNode: async (name, signal) => {
      if (!member().view.kubernetes) return false;
      const kube = await deps.connections().kube();
      return kube.get(nodes, { name }, { signal }).then(
        () => true,
        (error: unknown) => {
          if (isKind(error, "not-found")) return false;
          throw error;
        },
      );
    },
    seal: deps.seal,
    audit: deps.audit,
    clusterCert: host.paths.clusterCert,
    now: deps.now,
  });

  const sealKey = createSealKey({ ...deps, member });
  const migration = createMigration({ ...deps, member, sealKey, datastore: () => deps.connections().datastore() });
  /** False where there is no such Node. */
  async function isNodeReady(name: string, signal: AbortSignal): Promise<boolean> {
    if (!member().view.kubernetes) return false;
    const { items } = await (await deps.connections().kube()).list(nodes, {
      fieldSelector: `metadata.name=${name}`,
      signal,
    });
    return items.some((node) =>
      node.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True"),
    );
  }

  const members = createMembers({
    paths: host.paths,
    connections: deps.connections,
    tokens: joinTokens,
    seal: deps.seal,
    kube: () => (member().view.kubernetes ? deps.connections().kube() : undefined),
    audit: deps.audit,
    migration,
    now: deps.now,
  });
  const join = createJoin({
    ...deps,
    kubernetes: options.kubernetes,
    memberName: () => identity.read()?.view.view.name,
  });

  const recovery = createRecovery({ ...deps, paths: host.paths, member });

  function settle(run: OperationRun): { id: string; events: OperationRun["events"]; result: Promise<NodeStatus> } {
    return { id: run.id, events: run.events, result: run.result as Promise<NodeStatus> };
  }

  return {
    bootstrap(order: BootstrapOrder, { requestId }: { readonly requestId: string }) {
      const known = runner.find(requestId);
      if (known !== undefined) return settle(known);
      if (identity.read() !== undefined) {
        throw new AppError("already-initialised", "cluster is already bootstrapped");
      }
      const { input, secret } = prepareBootstrap(order, {
        host,
        machine: deps.machine,
        kubernetes: options.kubernetes,
        nodeId: deps.nodeKey.id,
        now: deps.now(),
      });
      const asked = order.timeoutMs === 0 ? bootstrapCeilingMs : order.timeoutMs;
      return settle(
        runner.start(planBootstrap(input, requestId), {
          secret: JSON.stringify(secret),
          timeoutMs: Math.min(asked, bootstrapCeilingMs),
        }),
      );
    },

    ...createStatus({ ...deps, member, moving: migration.moving }),

    async kubeconfig(server: string): Promise<string> {
      const { view } = member().view;
      const own = parseKubeconfig(await readFile(view.paths.kubeconfig.admin, "utf8"));
      return renderKubeconfig({ ...own, server: serverOf(server, view.k8sdAddress, view.securePort) });
    },

    async clusterConfig(signal: AbortSignal): Promise<GetClusterConfigResponse> {
      const { view } = member();
      const config = (await createLedger(await deps.connections().datastore()).config(signal)) ?? view.config;
      return toConfigResponse(config);
    },

    async setCapiAuthToken(token: string, signal: AbortSignal): Promise<void> {
      if (token === "") throw new AppError("invalid", "token cannot be empty", { field: "token" });
      // Only its hash: the token is compared, never shown.
      await (await records()).put(capiTokenKey, { sha256: sha256(token).toString("hex") }, signal);
    },

    async headerTokenHash(
      header: "capi-auth-token" | "node-token",
      signal: AbortSignal,
    ): Promise<Uint8Array | undefined> {
      if (header === "capi-auth-token") {
        const stored = await (await records()).get<{ sha256: string }>(capiTokenKey, signal);
        return stored && Buffer.from(stored.sha256, "hex");
      }
      const token = await readTextIfThere(host.paths.nodeToken);
      return token === undefined ? undefined : sha256(token.trim());
    },

    authTokens: {
      create: async (...args: Parameters<AuthTokens["create"]>) => (await tokens()).create(...args),
      revoke: async (...args: Parameters<AuthTokens["revoke"]>) => (await tokens()).revoke(...args),
      check: async (...args: Parameters<AuthTokens["check"]>) => (await tokens()).check(...args),
    },

    isNodeReady,
    join: join.join,
    members,
    joinTokens,
    address: createSetAddress({ ...deps, member, recovery }),
    moves: createMoves({ ...deps, paths: host.paths }),
    recovery,
    migration,
    sealKey,
    snapshots: {
      ...createSnapshots({
        ...deps,
        paths: host.paths,
        self: () => member().view,
        isMember: () => identity.read() !== undefined,
        members: deps.roster.members,
      }),
      ...createRestore({ ...deps, kubernetes: options.kubernetes }),
    },

    operations: {
      list: (): readonly OperationStatus[] => runner.list().map(operationStatus),
      get: (id: string): GetOperationResponse | undefined => {
        const operation = journal.byId(id);
        return operation && { operation: operationStatus(operation), events: [...runner.events(id)] };
      },
      follow: (id: string) => {
        const operation = journal.byId(id);
        return operation && runner.find(operation.requestId);
      },
      cancel: (id: string): boolean => runner.cancel(id) || join.cancel(id),
    },
  };
}

function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

/** `https://` is understood, an own port is kept, and the node's API server is the default. */
function serverOf(asked: string, k8sdAddress: string, securePort: number): string {
  if (asked === "") return `https://${k8sdAddress.slice(0, k8sdAddress.lastIndexOf(":"))}:${securePort}`;
  return asked.startsWith("http") ? asked : `https://${asked}`;
}
