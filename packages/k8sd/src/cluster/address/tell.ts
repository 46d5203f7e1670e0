import { isDeepStrictEqual } from "node:util";
import { hostPort } from "../../components/address.ts";
import { pkiFiles } from "../../components/certificates.ts";
import type { NodeView } from "../../components/component.ts";
import { readClientTls } from "../../datastore/channel.ts";
import type { Datastore } from "../../datastore/datastore.ts";
import { createEtcdMembers } from "../../datastore/etcd-members.ts";
import { findMember } from "../../datastore/etcd-members-facts.ts";
import type { EtcdMembers } from "../../datastore/etcd-members-types.ts";
import { AppError } from "../../lib/app-error.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import { etcdView, ownPeerUrl } from "../join/datastore-view.ts";
import { createLedger } from "../ledger.ts";

export interface TellDeps {
  /** A connection to the datastore of this very node; the caller closes it. */
  readonly connect: (view: NodeView) => Promise<Datastore>;
  /** Addresses of other control planes whose etcd holds the same data. */
  readonly peers: () => readonly string[];
}

const listMs = 6_000;
const moveMs = 15_000;

/** The ledger and etcd's members have the addresses that this control plane has. Again is no error. */
export async function tellCluster({ nodeId, view }: BootstrapInput, deps: TellDeps, signal: AbortSignal) {
  await using datastore = await deps.connect(view);
  const ledger = createLedger(datastore);
  const member = await ledger.member(nodeId, signal);
  const told = { addresses: view.addresses, k8sdAddress: view.k8sdAddress };
  if (member?.state === "active" && !isDeepStrictEqual(pick(member), told)) await ledger.update(nodeId, told, signal);
  if (view.datastore.engine !== "etcd") return;
  const { memberId } = await datastore.status({ signal });
  await using members = membersAt(view, [view.loopback, ...deps.peers()]);
  await setPeerUrl(members, { id: memberId }, ownPeerUrl(view, etcdView(view)), signal);
}

/** Before this node's etcd is restarted: the others look for it where it will be. False: they cannot decide now. */
export async function tellPeers(from: NodeView, to: NodeView, deps: TellDeps, signal: AbortSignal): Promise<boolean> {
  const peers = deps.peers();
  if (peers.length === 0) return false;
  await using members = membersAt(to, peers);
  const { members: all } = await members.list({ signal, settled: true, timeoutMs: listMs });
  const urls = [from, to].map((view) => ownPeerUrl(view, etcdView(view)));
  const self = all.find(({ peerUrls }) => peerUrls.some((url) => urls.includes(url)));
  if (self === undefined) throw new AppError("not-found", "cannot find this node among etcd's members");
  await setPeerUrl(members, { id: self.id }, ownPeerUrl(to, etcdView(to)), signal);
  return true;
}

async function setPeerUrl(members: EtcdMembers, who: { id: bigint }, url: string, signal: AbortSignal): Promise<void> {
  const { members: all } = await members.list({ signal, settled: true, timeoutMs: listMs });
  const self = findMember(all, who);
  if (self === undefined) throw new AppError("not-found", "cannot find this node among etcd's members");
  if (isDeepStrictEqual(self.peerUrls, [url])) return;
  await members.setPeerUrls(self.id, [url], { signal, timeoutMs: moveMs });
}

function membersAt(view: NodeView, addresses: readonly string[]): EtcdMembers {
  const { clientPort } = etcdView(view);
  const { paths } = view;
  return createEtcdMembers({
    endpoints: addresses.map((address) => `https://${hostPort(address, clientPort)}`),
    tls: readClientTls({
      ca: pkiFiles(paths).etcdCa.crt,
      cert: paths.datastoreClientCert,
      key: paths.datastoreClientKey,
    }),
  });
}

function pick({ addresses, k8sdAddress }: { readonly addresses: readonly string[]; readonly k8sdAddress: string }) {
  return { addresses, k8sdAddress };
}
