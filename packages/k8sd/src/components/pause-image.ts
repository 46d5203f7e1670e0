/** Image of the pod sandbox, unless `extra-node-containerd-config` names another. The contract's. */
export const defaultPauseImage = "ghcr.io/canonical/k8s-snap/pause:3.10";
