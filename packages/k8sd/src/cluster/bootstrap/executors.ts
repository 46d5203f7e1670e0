import { basename, join } from "node:path";
import type { Logger } from "pino";
import { splitHostPort } from "../../components/address.ts";
import { authorizationConfig } from "../../components/authorization.ts";
import { cleanAfter } from "../../components/cleanup.ts";
import type { ComponentSpec, NodeView } from "../../components/component.ts";
import { datastoreKind } from "../../components/datastore-kind.ts";
import { extraConfigFiles } from "../../components/extra-files.ts";
import { apiserverProxyEndpoints } from "../../components/k8s-apiserver-proxy.ts";
import { renderCniConfig } from "../../components/network/cni-config.ts";
import { cniPluginNames, installCniPlugins } from "../../components/network/cni-plugins.ts";
import { portNeeds } from "../../components/ports.ts";
import { sideloadImages } from "../../components/sideload-images.ts";
import { wantedComponents } from "../../components/wanted.ts";
import type { Datastore } from "../../datastore/datastore.ts";
import type { Host, PortNeed } from "../../host/host.ts";
import { conflictsError } from "../../host/preflight.ts";
import { removeTuning, tuneSystem } from "../../host/sysctl.ts";
import { exists } from "../../lib/read-file.ts";
import type { WantedFile } from "../../lib/write-file.ts";
import type { IdentityStore } from "../../node-db/identity.ts";
import type { Executors, StepContext } from "../../operations/plan.ts";
import type { SuppliedPki } from "../../pki/supplied.ts";
import { createLedger } from "../ledger.ts";
import { meshPort } from "../mesh/peers.ts";
import type { NodeKey } from "../node-key.ts";
import type { Seal } from "../seal.ts";
import { awaitService } from "./await-service.ts";
import { externalConflicts, forgetCluster } from "./external.ts";
import { createDirectories, createFiles, foreignFiles, removeDirectories, removeFiles } from "./files.ts";
import { type BootstrapInput, type BootstrapStep, datastoreService, purposeOf } from "./plan.ts";
import { writeCertificates } from "./write-certificates.ts";

export interface BootstrapDeps {
  readonly host: Host;
  readonly log: Logger;
  readonly now: () => number;
  readonly identity: IdentityStore<BootstrapInput>;
  readonly seal: () => Promise<Seal>;
  readonly nodeKey: NodeKey;
  /** Of what runs on this node. */
  readonly versions: (signal: AbortSignal) => Promise<Readonly<Record<string, string>>>;
  /** A connection to the datastore of a node that is not a member yet; the caller closes it. */
  readonly connect: (view: NodeView) => Promise<Datastore>;
  readonly listener: { open(address: string): Promise<void>; close(): Promise<void> };
  /** The node is a member now: what runs on members starts. */
  readonly joined: () => void;
}

/** Programs, images and a log: enough for a node that runs nothing yet. */
const neededDiskBytes = 1024 ** 3;

function inputOf(context: StepContext): BootstrapInput {
  return context.input as BootstrapInput;
}

function suppliedOf(context: StepContext): SuppliedPki {
  return JSON.parse(context.secret ?? "{}") as SuppliedPki;
}

function componentsOf(context: StepContext, names: readonly string[]): readonly ComponentSpec[] {
  return wantedComponents(inputOf(context).view).filter((component) => names.includes(component.name));
}

/** Everything the node's programs read that is not a certificate. */
function nodeFiles(input: BootstrapInput, components: readonly ComponentSpec[]): readonly WantedFile[] {
  const { nodeId, view, kubernetes, via } = input;
  const network = kubernetes ? renderCniConfig(view) : undefined;
  return [
    ...components.flatMap((component) => component.render(view).files),
    ...extraConfigFiles(view),
    ...(network === undefined ? [] : [network]),
    ...(view.role === "worker"
      ? [
          { path: view.paths.workerMark, content: "", mode: 0o600 },
          { path: apiserverProxyEndpoints(view.paths), content: endpointsContent(via?.apiServers ?? []), mode: 0o600 },
        ]
      : []),
    // About the others kube-apiserver asks until k8sd keeps the file.
    ...(kubernetes && view.role === "control-plane" ? [authorizationConfig(view, [nodeId])] : []),
  ];
}

export function createBootstrapExecutors(deps: BootstrapDeps): Executors<BootstrapStep> {
  const { host } = deps;
  const { paths, services } = host;

  async function checkHost(names: readonly string[], context: StepContext): Promise<void> {
    const input = inputOf(context);
    const { signal } = context;
    const { view } = input;
    const components = wantedComponents(view).filter((component) => names.includes(component.name));
    const programs = components.map((component) => component.render(view).service.program);
    const conflicts = await Promise.all([
      host.preflight.ports(portsOf(view, names), signal),
      host.preflight.emptyDirectories([paths.pki, paths.datastore, paths.etcd], signal),
      input.kubernetes ? host.preflight.emptyDirectories([paths.containerd.stateDir], signal) : [],
      host.preflight.programs([paths.runService, ...programs], signal),
      host.preflight.system({ freeDisk: [{ path: paths.snapCommon, bytes: neededDiskBytes }] }, signal),
      input.via === undefined ? externalConflicts(view, suppliedOf(context), signal) : [],
      existing([...nodeFiles(input, components).map((file) => file.path), ...Object.values(paths.kubeconfig)]).then(
        foreignFiles,
      ),
    ]);
    if (conflicts.flat().length > 0) throw conflictsError(purposeOf(input), conflicts.flat());
  }

  return {
    "check-host": { run: (step, context) => checkHost(step.args.services, context) },

    "create-directories": {
      run: async (step, context) => {
        const { view, systemTuning } = inputOf(context);
        await createDirectories(
          [
            { path: paths.args, mode: 0o700 },
            { path: paths.confD, mode: 0o700 },
            { path: paths.lock, mode: 0o700 },
            { path: paths.kubernetes, mode: 0o755 },
            { path: paths.pki, mode: 0o700 },
            { path: paths.etcdPki, mode: 0o700 },
            ...(systemTuning ? [{ path: paths.sysctlD, mode: 0o755 }] : []),
            ...componentsOf(context, step.args.services).flatMap((component) => component.render(view).directories),
          ],
          context,
        );
      },
      undo: (_step, context) => removeDirectories(context),
    },

    "tune-system": {
      run: async () => {
        // Below a root of its own a node leaves the machine's kernel alone.
        await tuneSystem({ paths, begin: true, procSys: join(paths.root, "proc/sys") }, deps.log);
      },
      undo: () => removeTuning(paths),
    },

    "write-certificates": {
      run: async (_step, context) => {
        await writeCertificates(inputOf(context), suppliedOf(context), context, { ...deps, paths });
      },
      undo: (_step, context) => removeFiles(context),
    },

    "install-services": {
      run: async (step, context) => {
        const input = inputOf(context);
        const { view, kubernetes } = input;
        const components = componentsOf(context, step.args.services);
        const plugins = kubernetes ? cniPluginNames.map((name) => join(paths.cniBin, name)) : [];
        const alreadyThere = new Set(await existing(plugins));
        await createFiles(
          nodeFiles(input, components),
          context,
          plugins.filter((path) => !alreadyThere.has(path)),
        );
        if (kubernetes) {
          const foreign = new Set([...alreadyThere].map((path) => basename(path)));
          await installCniPlugins({ from: join(paths.bin, "cni"), to: paths.cniBin, foreign }, context.signal);
        }
        for (const component of components) await services.apply(component.render(view).service, context.signal);
      },
      undo: async (step, context) => {
        for (const name of step.args.services.toReversed()) await services.remove(name, context.signal);
        await removeFiles(context);
      },
    },

    "start-services": {
      run: async (step, context) => {
        for (const [index, name] of step.args.services.entries()) {
          await services.start(name, context.signal);
          context.progress({ done: index + 1, of: step.args.services.length, note: name });
        }
      },
      undo: async (step, context) => {
        for (const name of step.args.services.toReversed()) {
          await services.stop(name, context.signal);
          await cleanAfter(name, host, context.signal);
        }
      },
    },

    "await-services": {
      run: async (step, context) => {
        let done = 0;
        await Promise.all(
          componentsOf(context, step.args.services).map(async (component) => {
            await awaitService(component, inputOf(context).view, services, context.signal);
            done += 1;
            context.progress({ done, of: step.args.services.length, note: component.name });
          }),
        );
      },
    },

    "import-images": {
      run: (_step, context) => sideloadImages(host, deps.log, context.signal),
    },

    "record-cluster": {
      run: async (_step, context) => {
        const input = inputOf(context);
        const versions = await deps.versions(context.signal);
        await using datastore = await deps.connect(input.view);
        await createLedger(datastore).found(
          {
            cluster: { id: input.clusterId, epoch: 1, createdAt: deps.now() },
            member: {
              id: input.nodeId,
              name: input.view.name,
              addresses: input.view.addresses,
              k8sdAddress: input.view.k8sdAddress,
              role: input.view.role,
              state: "active",
              publicKeyFingerprint: deps.nodeKey.fingerprint,
              meshPeer: deps.nodeKey.meshPeer,
              versions,
            },
            config: input.config,
          },
          context.signal,
        );
      },
      undo: async (_step, context) => {
        const input = inputOf(context);
        // Ours goes with its files.
        if (datastoreKind(input.view.datastore) !== "external") return;
        // A node that leaves has stopped its server: what a cluster wrote into a database is then its owner's to delete.
        const server = datastoreService(input.view);
        if (server !== undefined && (await services.status(server, context.signal)).state !== "running") return;
        await using datastore = await deps.connect(input.view);
        await forgetCluster(datastore, input, context.signal);
      },
    },

    "open-listener": {
      run: (step) => deps.listener.open(step.args.address),
      undo: () => deps.listener.close(),
    },

    "commit-node": {
      run: async (_step, context) => {
        const input = inputOf(context);
        const member = { id: input.nodeId, clusterId: input.clusterId, view: input };
        context.commit(() => deps.identity.commit(member, deps.now()));
        deps.joined();
      },
    },
  };
}

/** As k8s-apiserver-proxy reads it. */
function endpointsContent(apiServers: readonly string[]): string {
  return `${JSON.stringify({ endpoints: [...new Set(apiServers)].sort() })}\n`;
}

/** Ports of the services that will run, and the daemon's own: for callers and for the mesh. */
function portsOf(view: NodeView, services: readonly string[]): readonly PortNeed[] {
  const listener = splitHostPort(view.k8sdAddress);
  const own: PortNeed[] =
    listener === undefined
      ? []
      : [listener.port, meshPort(view.k8sdAddress)].map((port) => ({
          port,
          address: listener.host,
          protocol: "tcp",
          service: "k8sd",
          field: "address",
        }));
  return [...portNeeds(view, services), ...own];
}

async function existing(paths: readonly string[]): Promise<readonly string[]> {
  const found = await Promise.all(paths.map(exists));
  return paths.filter((_path, index) => found[index]);
}
