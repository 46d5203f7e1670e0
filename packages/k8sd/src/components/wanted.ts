import type { ComponentSpec, NodeView } from "./component.ts";
import { containerd } from "./containerd.ts";
import { etcd } from "./etcd.ts";
import { k8sApiserverProxy } from "./k8s-apiserver-proxy.ts";
import { k8sDatastore } from "./k8s-datastore.ts";
import { kubeApiserver } from "./kube-apiserver.ts";
import { kubeControllerManager } from "./kube-controller-manager.ts";
import { kubeProxy } from "./kube-proxy.ts";
import { kubeScheduler } from "./kube-scheduler.ts";
import { kubelet } from "./kubelet.ts";

/** Every process that k8sd can manage, in the order in which they are started; they are stopped in reverse. */
export const allComponents: readonly ComponentSpec[] = [
  k8sDatastore,
  etcd,
  containerd,
  kubeApiserver,
  k8sApiserverProxy,
  kubeControllerManager,
  kubeScheduler,
  kubelet,
  kubeProxy,
];

/** Those that this node shall run, in start order. */
export function wantedComponents(node: NodeView): readonly ComponentSpec[] {
  return allComponents.filter((component) => component.wanted(node));
}
