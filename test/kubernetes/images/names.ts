/** The images made here, by the names under which containerd and Pods know them. */
export const pauseImage = "localhost/k8sd/pause:3.10";
export const webImage = "localhost/k8sd/web:1";
