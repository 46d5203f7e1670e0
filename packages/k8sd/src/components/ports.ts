import type { PortNeed } from "../host/host.ts";
import { splitHostPort } from "./address.ts";
import type { ComponentSpec, NodeView } from "./component.ts";
import { effectiveArgument } from "./service.ts";
import { wantedComponents } from "./wanted.ts";

/** Flag with a port, or with `address:port`, and what it is when nobody sets it. */
const listeners: Readonly<Record<string, readonly { flag: string; otherwise: string; field?: string }[]>> = {
  "kube-apiserver": [{ flag: "--secure-port", otherwise: "6443", field: "secure-port" }],
  "k8s-apiserver-proxy": [{ flag: "--listen", otherwise: ":6443", field: "secure-port" }],
  "kube-controller-manager": [{ flag: "--secure-port", otherwise: "10257" }],
  "kube-scheduler": [{ flag: "--secure-port", otherwise: "10259" }],
  kubelet: [
    { flag: "--port", otherwise: "10250" },
    { flag: "--healthz-port", otherwise: "10248" },
    { flag: "--read-only-port", otherwise: "0" },
  ],
  "kube-proxy": [
    { flag: "--healthz-bind-address", otherwise: "127.0.0.1:10256" },
    { flag: "--metrics-bind-address", otherwise: "127.0.0.1:10249" },
  ],
};

/** Every port that these components of the node will listen on, after the user's extra arguments; 0 means none. */
export function portNeeds(node: NodeView, names: readonly string[]): readonly PortNeed[] {
  return wantedComponents(node)
    .filter((component) => names.includes(component.name))
    .flatMap((component) => [...datastorePorts(component, node), ...componentPorts(component, node)]);
}

function componentPorts(component: ComponentSpec, node: NodeView): PortNeed[] {
  const { service } = component.render(node);
  return (listeners[component.name] ?? []).flatMap(({ flag, otherwise, field }): PortNeed[] => {
    const value = effectiveArgument(service, flag, otherwise);
    const bound = splitHostPort(value) ?? { host: "", port: Number(value) };
    if (!(bound.port > 0)) return [];
    return [
      {
        port: bound.port,
        protocol: "tcp",
        service: component.name,
        ...(bound.host === "" ? {} : { address: bound.host }),
        field: field ?? `extra-node-${component.name}-args`,
      },
    ];
  });
}

function datastorePorts(component: ComponentSpec, node: NodeView): PortNeed[] {
  const { datastore } = node;
  const client = { protocol: "tcp", service: component.name, field: "etcd-port" } as const;
  if (component.name === "k8s-datastore" && (datastore.engine === "sqlite" || datastore.engine === "postgres")) {
    return [{ ...client, port: datastore.clientPort, address: node.loopback }];
  }
  if (component.name === "etcd" && datastore.engine === "etcd") {
    return [
      { ...client, port: datastore.clientPort },
      { ...client, port: datastore.peerPort, field: "etcd-peer-port" },
    ];
  }
  return [];
}
