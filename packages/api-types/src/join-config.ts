import { z } from "zod";
import { anyMap, document, flagMap, mapOf, pem, text, textList } from "./bounds.ts";

const secret = pem.optional();
const flags = flagMap.optional();

const everyNode = {
  "disable-system-tuning": z.boolean().optional(),
  "extra-node-config-files": mapOf(document).optional(),
  "extra-node-kube-proxy-args": flags,
  "extra-node-kubelet-args": flags,
  "extra-node-containerd-args": flags,
  "extra-node-containerd-config": anyMap.optional(),
  "containerd-base-dir": text.optional(),
  "kube-proxy-client-crt": secret,
  "kube-proxy-client-key": secret,
  "kubelet-crt": secret,
  "kubelet-key": secret,
  "kubelet-client-crt": secret,
  "kubelet-client-key": secret,
};

export const controlPlaneJoinConfig = z.strictObject({
  ...everyNode,
  "extra-sans": textList.optional(),
  "front-proxy-client-crt": secret,
  "front-proxy-client-key": secret,
  "admin-client-crt": secret,
  "admin-client-key": secret,
  "kube-scheduler-client-crt": secret,
  "kube-scheduler-client-key": secret,
  "kube-controller-manager-client-crt": secret,
  "kube-controller-manager-client-key": secret,
  "apiserver-crt": secret,
  "apiserver-key": secret,
  "etcd-server-crt": secret,
  "etcd-server-key": secret,
  "etcd-peer-crt": secret,
  "etcd-peer-key": secret,
  "extra-node-kube-apiserver-args": flags,
  "extra-node-kube-controller-manager-args": flags,
  "extra-node-kube-scheduler-args": flags,
  "extra-node-etcd-args": flags,
});
export type ControlPlaneJoinConfig = z.infer<typeof controlPlaneJoinConfig>;

export const workerJoinConfig = z.strictObject({
  ...everyNode,
  "extra-node-k8s-apiserver-proxy-args": flags,
});
export type WorkerJoinConfig = z.infer<typeof workerJoinConfig>;
