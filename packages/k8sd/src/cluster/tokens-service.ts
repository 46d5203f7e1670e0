import { readFile } from "node:fs/promises";
import type { JoinToken } from "@k8sd/api-types";
import { AppError } from "../lib/app-error.ts";
import { createExclusive } from "../lib/exclusive.ts";
import { withDeadline } from "../lib/wait.ts";
import type { Audit } from "../node-db/audit.ts";
import { fingerprint } from "../pki/expiry.ts";
import type { Asker } from "./audited.ts";
import type { Connections } from "./connections.ts";
import { createLedger } from "./ledger.ts";
import { type Admission, createAdmission, defaultHoldMs } from "./ledger-admission.ts";
import type { Seal } from "./seal.ts";
import { createJoinTokens, type JoinTokens, type TokenOrder } from "./tokens.ts";
import { encodeJoinToken } from "./tokens-encoding.ts";
import { type JoinTokenRecord, tokenState } from "./tokens-rules.ts";
import { type Swept, sweepTokens } from "./tokens-sweep.ts";
import { createThrottle, defaultThrottle } from "./tokens-throttle.ts";

export interface TokenServiceDeps {
  readonly connections: () => Pick<Connections, "datastore">;
  /** Whether Kubernetes has a Node of this name. */
  readonly hasKubernetesNode: (name: string, signal: AbortSignal) => Promise<boolean>;
  readonly seal: () => Promise<Seal>;
  readonly audit: Audit;
  /** File of the certificate that the token pins. */
  readonly clusterCert: string;
  readonly now: () => number;
}

/** What k8sd answers about join tokens; what a join calls on the side of the cluster. */
export interface TokenService {
  /** The token as the node that joins gets it. */
  create(order: TokenOrder, caller: Asker, signal: AbortSignal): Promise<string>;
  list(signal: AbortSignal): Promise<readonly JoinToken[]>;
  revoke(id: string, caller: Asker, signal: AbortSignal): Promise<void>;
  check: JoinTokens["check"];
  readonly admission: Admission;
  sweep(signal: AbortSignal): Promise<Swept>;
}

/** A Kubernetes API that does not answer is no reason to keep anybody from adding a node. */
const kubernetesMs = 3_000;

export function createTokenService(deps: TokenServiceDeps): TokenService {
  const { audit, now } = deps;
  // One for all callers: it remembers who presented wrong secrets.
  const throttle = createThrottle(defaultThrottle, () => performance.now());

  const tokens = async (): Promise<JoinTokens> => {
    const [datastore, seal] = await Promise.all([deps.connections().datastore(), deps.seal()]);
    return createJoinTokens({ datastore, seal, audit, throttle, now });
  };
  const sweep = async (signal: AbortSignal): Promise<Swept> =>
    sweepTokens({ datastore: await deps.connections().datastore(), audit, now }, signal);

  const turns = createExclusive();
  const admission = async (): Promise<Admission> =>
    createAdmission(
      { holdMs: defaultHoldMs },
      { datastore: await deps.connections().datastore(), tokens: await tokens(), turns, audit, now },
    );

  async function refuseTakenName(name: string, signal: AbortSignal): Promise<void> {
    const ledger = createLedger(await deps.connections().datastore());
    const owner = await ledger.memberNamed(name, signal);
    // Who is still joining may give up, and then its token is needed again.
    const isMember = owner?.state === "active" || owner?.state === "leaving";
    if (!isMember && !(await hasNode(name, signal))) return;
    const message = `a node with this name is already part of the cluster: ${JSON.stringify(name)}`;
    throw new AppError("conflict", message, { details: { nameTaken: true } });
  }

  async function hasNode(name: string, signal: AbortSignal): Promise<boolean> {
    return deps.hasKubernetesNode(name, withDeadline(signal, kubernetesMs)).catch(() => {
      signal.throwIfAborted();
      // The ledger has decided: the name is free.
      return false;
    });
  }

  async function joinAddresses(signal: AbortSignal): Promise<readonly string[]> {
    const members = await createLedger(await deps.connections().datastore()).members(signal);
    return members
      .filter(({ role, state }) => role === "control-plane" && state === "active")
      .map(({ k8sdAddress }) => k8sdAddress);
  }

  return {
    create: async (order, caller, signal) => {
      if (order.name !== "") await refuseTakenName(order.name, signal);
      await sweep(signal);
      const { secret } = await (await tokens()).create(order, caller, signal);
      const [certificate, addresses] = await Promise.all([readFile(deps.clusterCert, "utf8"), joinAddresses(signal)]);
      return encodeJoinToken({ role: order.role, secret, fingerprint: fingerprint(certificate), addresses });
    },
    list: async (signal) => {
      await sweep(signal);
      const all = await (await tokens()).list(signal);
      return all.map((token) => shown(token, now()));
    },
    revoke: async (id, caller, signal) => {
      await (await tokens()).revoke(id, caller, signal);
      // What it held for others is free at once.
      await sweep(signal);
    },
    check: async (secret, claim, signal) => (await tokens()).check(secret, claim, signal),
    admission: onlineAdmission(admission),
    sweep,
  };
}

function shown(token: JoinTokenRecord, now: number): JoinToken {
  const { id, role, name, uses, used, holds, cidrs, createdAt, expiresAt } = token;
  return {
    id,
    role,
    name,
    state: tokenState(token, now),
    uses,
    used,
    joining: Object.keys(holds).length,
    cidrs: [...cidrs],
    created: new Date(createdAt).toISOString(),
    expires: new Date(expiresAt).toISOString(),
  };
}

/** The datastore is there only on a member, and may be another one when the node comes back to a cluster. */
function onlineAdmission(admission: () => Promise<Admission>): Admission {
  return {
    reserve: async (...args) => (await admission()).reserve(...args),
    begin: async (...args) => (await admission()).begin(...args),
    renew: async (...args) => (await admission()).renew(...args),
    commit: async (...args) => (await admission()).commit(...args),
    release: async (...args) => (await admission()).release(...args),
  };
}
