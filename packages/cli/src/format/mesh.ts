import type { MeshPeerStatus, MeshStatus } from "@k8sd/api-types";
import type { Output } from "./output.ts";
import { table } from "./table.ts";
import { PlainScalar, type YamlValue } from "./yaml.ts";

const head = ["NAME", "ROLE", "ADDRESS", "STATE", "LAST CONTACT", "ROUND TRIP"];

export function meshOutput(status: MeshStatus): Output {
  return { plain: () => plain(status), json: () => status, yaml: () => yaml(status) };
}

function plain({ running, reason, peers }: MeshStatus): string {
  if (!running) return `The mesh does not run: ${reason ?? "unknown"}.`;
  if (peers.length === 0) return "There are no other nodes.";
  const troubles = peers.flatMap(({ name, problem }) =>
    problem === undefined ? [] : [`  ${name}: ${reasonText[problem.reason]}: ${problem.detail}`],
  );
  return [
    table([head, ...peers.map(row)]),
    ...(troubles.length === 0 ? [] : ["", "cannot be reached:", ...troubles]),
  ].join("\n");
}

function row(peer: MeshPeerStatus): readonly string[] {
  const { name, role, addresses, state } = peer;
  const contact = peer["last-contact"]?.replace(/\.\d+Z$/, "Z") ?? "never";
  const roundTrip = peer["round-trip-ms"];
  return [name, role, addresses[0] ?? "none", state, contact, roundTrip === undefined ? "-" : `${roundTrip} ms`];
}

const reasonText: Readonly<Record<NonNullable<MeshPeerStatus["problem"]>["reason"], string>> = {
  dns: "its address is not known (DNS)",
  tcp: "no connection (TCP)",
  tls: "something else answers there (TLS)",
  clock: "one of the two clocks is wrong",
  "not-a-member": "it does not admit this node",
  "no-answer": "it does not answer",
};

function yaml(status: MeshStatus): YamlValue {
  const { peers, ...rest } = status;
  return { ...rest, peers: peers.map(yamlPeer) };
}

function yamlPeer(peer: MeshPeerStatus): YamlValue {
  const { since, "last-contact": contact, ...rest } = peer;
  return {
    ...rest,
    since: new PlainScalar(since),
    ...(contact === undefined ? {} : { "last-contact": new PlainScalar(contact) }),
  };
}
