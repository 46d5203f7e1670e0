import { readFile } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import type { ComponentSpec } from "../../components/component.ts";
import { etcd } from "../../components/etcd.ts";
import { wantedComponents } from "../../components/wanted.ts";
import type { Host } from "../../host/host.ts";
import { AppError, errorText } from "../../lib/app-error.ts";
import { withDeadline } from "../../lib/wait.ts";
import { type WantedFile, writeFileAtomic } from "../../lib/write-file.ts";
import type { IdentityStore } from "../../node-db/identity.ts";
import type { Executors, StepContext } from "../../operations/plan.ts";
import { awaitService } from "../bootstrap/await-service.ts";
import { type BootstrapInput, serviceStages } from "../bootstrap/plan.ts";
import { readClusterSecrets } from "../cluster-secrets.ts";
import type { ClusterLink } from "../join/link.ts";
import type { Seal } from "../seal.ts";
import { addressRows, certificateFile, renewOwn, requestsOf } from "./certificates.ts";
import type { AddressInput, AddressStep } from "./plan.ts";
import { type TellDeps, tellCluster, tellPeers } from "./tell.ts";

export interface AddressDeps extends TellDeps {
  readonly host: Host;
  readonly log: Logger;
  readonly now: () => number;
  readonly identity: Pick<IdentityStore<BootstrapInput>, "commit">;
  readonly seal: () => Promise<Seal>;
  /** Of a worker: to a control plane. */
  readonly link: (input: BootstrapInput) => Promise<ClusterLink | undefined>;
  readonly member: { rest(): Promise<void>; open(address: string): Promise<void>; close(): Promise<void> };
  readonly joined: () => void;
}

/** An election takes two seconds; others that have moved too may not be found at all. */
const quorumMs = 20_000;
const tellMs = 20_000;

const inputOf = (context: StepContext): AddressInput => context.input as AddressInput;

export function createAddressExecutors(deps: AddressDeps): Executors<AddressStep> {
  const { host, log } = deps;
  const { services } = host;

  async function renew(input: BootstrapInput, context: StepContext): Promise<readonly WantedFile[]> {
    if (input.view.role === "worker") {
      const link = await deps.link(input);
      if (link === undefined)
        throw new AppError("unavailable", "cannot ask for certificates: no control plane is known");
      const { pki } = await link.ask("moveMember", await moveRequest(input), context.signal);
      return addressRows(input).flatMap((row) => {
        const content = pki[`${row.name}-crt`];
        return content === undefined ? [] : [{ path: certificateFile(input, row, "crt"), content, mode: 0o600 }];
      });
    }
    const secrets = await readClusterSecrets(host.paths, await deps.seal());
    const { files, foreign } = await renewOwn(input, secrets, new Date(deps.now()));
    if (foreign.length > 0) {
      const note = `these carry the old address until you replace them: ${foreign.join(", ")}`;
      context.progress({ done: 0, of: 1, note });
      log.warn({ foreign }, "Certificates whose authority is held elsewhere carry the old address");
    }
    return files;
  }

  /** What is rendered differently for the two, in start order. */
  function changed({ before, after }: AddressInput): readonly ComponentSpec[] {
    const names = serviceStages(after).flat();
    return wantedComponents(after.view).filter(
      (component) =>
        names.includes(component.name) &&
        !isDeepStrictEqual(component.render(before.view), component.render(after.view)),
    );
  }

  async function apply(component: ComponentSpec, { view }: BootstrapInput, signal: AbortSignal): Promise<void> {
    const { service, files } = component.render(view);
    for (const file of files) await writeFileAtomic(file);
    await services.apply(service, signal);
    await services.restart(service.name, signal);
  }

  /** False: etcd runs and finds no quorum, because others are away or have moved as well. */
  async function hasQuorum({ view }: BootstrapInput, signal: AbortSignal): Promise<boolean> {
    try {
      await awaitService(etcd, view, services, withDeadline(signal, quorumMs));
      return true;
    } catch (error) {
      signal.throwIfAborted();
      const alone = view.datastore.engine === "etcd" && Object.keys(view.datastore.initialCluster.peers).length === 1;
      const { state } = await services.status(etcd.name, signal);
      if (state !== "running" || (alone && deps.peers().length === 0)) throw error;
      log.warn({ error: errorText(error) }, "Etcd has no quorum; the address is changed all the same");
      return false;
    }
  }

  return {
    "renew-certificates": {
      run: async (_step, context) => {
        const input = inputOf(context);
        const files = addressRows(input.before).map((row) => certificateFile(input.before, row, "crt"));
        const old = await Promise.all(files.map(async (path) => [path, await readFile(path, "utf8")] as const));
        if (context.note === undefined) context.remember(Object.fromEntries(old));
        for (const file of await renew(input.after, context)) await writeFileAtomic(file);
      },
      undo: async (_step, context) => {
        const { before } = inputOf(context);
        const old = (context.note ?? {}) as Readonly<Record<string, string>>;
        for (const [path, content] of Object.entries(old)) await writeFileAtomic({ path, content, mode: 0o600 });
        if (before.view.role !== "worker") return;
        const link = await deps.link(before);
        await link
          ?.ask("moveMember", await moveRequest(before), withDeadline(context.signal, tellMs))
          .catch(gone(context));
      },
    },

    "move-peer": {
      run: async (_step, context) => {
        const { before, after } = inputOf(context);
        const told = await tellPeers(before.view, after.view, deps, withDeadline(context.signal, tellMs)).catch(
          gone(context),
        );
        if (!told) context.progress({ done: 0, of: 1, note: "they are told when etcd runs again" });
      },
      undo: async (_step, context) => {
        const { before, after } = inputOf(context);
        await tellPeers(after.view, before.view, deps, withDeadline(context.signal, tellMs)).catch(gone(context));
      },
    },

    "restart-services": {
      run: async (_step, context) => {
        const { signal } = context;
        const input = inputOf(context);
        await deps.member.rest();
        const components = changed(input);
        let usable = true;
        for (const [index, component] of components.entries()) {
          context.progress({ done: index, of: components.length, note: component.name });
          await apply(component, input.after, signal);
          if (component.name === etcd.name) usable = await hasQuorum(input.after, signal);
        }
        const rest = components.filter(({ name }) => name !== etcd.name);
        // Without the datastore none of them gets ready; they try again by themselves.
        if (usable) await Promise.all(rest.map((each) => awaitService(each, input.after.view, services, signal)));
      },
      undo: async (_step, context) => {
        const input = inputOf(context);
        for (const component of changed(input)) {
          await apply(component, input.before, context.signal).catch(gone(context));
        }
        deps.joined();
      },
    },

    "move-listener": {
      run: async (_step, context) => {
        await deps.member.close();
        await deps.member.open(inputOf(context).after.view.k8sdAddress);
      },
      undo: async (_step, context) => {
        await deps.member.close();
        await deps.member.open(inputOf(context).before.view.k8sdAddress).catch(gone(context));
      },
    },

    "tell-cluster": {
      run: async (_step, context) => {
        // Without quorum it is told as soon as there is one (reconcile/own-address.ts).
        await tellCluster(inputOf(context).after, deps, withDeadline(context.signal, tellMs)).catch(gone(context));
      },
      undo: async (_step, context) => {
        await tellCluster(inputOf(context).before, deps, withDeadline(context.signal, tellMs)).catch(gone(context));
      },
    },

    "commit-node": {
      run: async (_step, context) => {
        const { nodeId, clusterId, after } = inputOf(context);
        context.commit(() => deps.identity.commit({ id: nodeId, clusterId, view: after }, deps.now()));
        deps.joined();
      },
    },
  };

  /** Somebody who is away is told later; what was there before may be gone for good. */
  function gone(context: StepContext) {
    return (error: unknown): undefined => {
      context.signal.throwIfAborted();
      log.warn({ error: errorText(error) }, "Cannot change the address everywhere now");
      return undefined;
    };
  }
}

async function moveRequest(input: BootstrapInput) {
  const { addresses, k8sdAddress } = input.view;
  return { addresses: [...addresses], "k8sd-address": k8sdAddress, requests: await requestsOf(input) };
}
