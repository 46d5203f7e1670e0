/** The images made here, by the names under which containerd and Pods know them. */

/** The one a node asks for by itself, so that a plain bootstrap works without a registry. */
export { defaultPauseImage as pauseImage } from "@k8sd/k8sd/components/pause-image.ts";
export const webImage = "localhost/k8sd/web:1";
