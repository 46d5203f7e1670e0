/** The parts of Kubernetes objects that we read or write. */
export interface ObjectMeta {
  readonly name?: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** It is being deleted, and is gone when its finalizers and, of a Pod, the kubelet have done their part. */
  readonly deletionTimestamp?: string;
  readonly ownerReferences?: readonly { readonly kind: string; readonly name: string; readonly controller?: boolean }[];
}

export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata?: ObjectMeta;
}

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}

export interface Node extends KubeObject {
  readonly spec?: {
    readonly podCIDR?: string;
    readonly podCIDRs?: readonly string[];
    readonly unschedulable?: boolean;
  };
  readonly status?: {
    readonly conditions?: readonly Condition[];
    readonly addresses?: readonly { readonly type: string; readonly address: string }[];
    readonly nodeInfo?: { readonly kubeletVersion?: string };
  };
}

export interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

export interface Pod extends KubeObject {
  readonly spec?: { readonly nodeName?: string };
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly conditions?: readonly Condition[];
  };
}

/** Where the objects of one type are found; the type parameter is what they are. */
export interface Resource<T extends KubeObject> {
  /** `/api/v1` or `/apis/<group>/<version>` */
  readonly api: `/api/${string}` | `/apis/${string}`;
  readonly plural: string;
  readonly namespaced: boolean;
  /** Never set: carries the type. */
  readonly object?: T;
}

export const nodes: Resource<Node> = { api: "/api/v1", plural: "nodes", namespaced: false };
export const configMaps: Resource<ConfigMap> = { api: "/api/v1", plural: "configmaps", namespaced: true };
export const pods: Resource<Pod> = { api: "/api/v1", plural: "pods", namespaced: true };

/** One object, or with no name the collection. A namespaced collection without namespace is that of all namespaces. */
export interface ObjectRef {
  readonly namespace?: string;
  readonly name?: string;
  readonly subresource?: string;
}

export function resourcePath(resource: Resource<KubeObject>, ref: ObjectRef): string {
  const parts: string[] = [];
  if (resource.namespaced && ref.namespace !== undefined) parts.push("namespaces", ref.namespace);
  parts.push(resource.plural);
  if (ref.name !== undefined) parts.push(ref.name);
  if (ref.subresource !== undefined) parts.push(ref.subresource);
  return `${resource.api}/${parts.map(encodeURIComponent).join("/")}`;
}
