import { AppError, isKind } from "../lib/app-error.ts";
import { parseKubeconfig } from "./kubeconfig.ts";
import { type KubeObject, type ObjectRef, pods, type Resource, resourcePath } from "./resources.ts";
import { type ApiRequest, createTransport, parseJson } from "./transport.ts";

export interface CallOptions {
  readonly signal: AbortSignal;
  /** Default 10 s: an API server that is well answers in milliseconds. */
  readonly deadlineMs?: number;
}

export interface ListOptions extends CallOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export interface KubeList<T extends KubeObject> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
}

export interface NamedRef {
  readonly namespace?: string;
  readonly name: string;
  readonly subresource?: string;
}

/** The Kubernetes calls we make. Errors are AppErrors whose `details.reason` is Kubernetes' own word. */
export interface KubeClient extends Disposable {
  get<T extends KubeObject>(resource: Resource<T>, ref: NamedRef, options: CallOptions): Promise<T>;
  list<T extends KubeObject>(resource: Resource<T>, options: ListOptions): Promise<KubeList<T>>;
  create<T extends KubeObject>(resource: Resource<T>, object: T, options: CallOptions): Promise<T>;
  /** Asks a Pod to go elsewhere. Kind "conflict" or "unavailable": its disruption budget does not allow it now. */
  evict(ref: { readonly namespace: string; readonly name: string }, options: CallOptions): Promise<void>;
  /** JSON merge patch: null removes a field. */
  patch<T extends KubeObject>(resource: Resource<T>, ref: NamedRef, patch: object, options: CallOptions): Promise<T>;
  /** @returns false when there was nothing to delete */
  delete(resource: Resource<KubeObject>, ref: NamedRef, options: DeleteOptions): Promise<boolean>;
  /** Any other path, as text: `/readyz`, `/version`, a Pod's log. */
  raw(path: `/${string}`, options: CallOptions): Promise<string>;
}

export interface DeleteOptions extends CallOptions {
  readonly propagation?: "Background" | "Foreground" | "Orphan";
  /** Of the very object that is meant; one that was made anew under its name stays, and the error is of kind "conflict". */
  readonly uid?: string;
}

const defaultDeadlineMs = 10_000;

/** @param kubeconfig the text of a kubeconfig with embedded certificates */
export function createKubeClient(kubeconfig: string): KubeClient {
  const transport = createTransport(parseKubeconfig(kubeconfig));

  async function json<T>(call: Omit<ApiRequest, "signal" | "deadlineMs">, options: CallOptions): Promise<T> {
    const text = await transport.text({ ...call, signal: options.signal, deadlineMs: deadlineOf(options) });
    const value = parseJson(text);
    if (typeof value !== "object" || value === null)
      throw new AppError("internal", `cannot ${call.what}: the Kubernetes API answered with something other than JSON`);
    // The API server is trusted for the shape of its own objects: every field of ours is optional but the items below.
    return value as T;
  }

  async function list<T extends KubeObject>(resource: Resource<T>, options: ListOptions): Promise<KubeList<T>> {
    const path = `${resourcePath(resource, options)}${query({ labelSelector: options.labelSelector, fieldSelector: options.fieldSelector })}`;
    const found = await json<{ items?: T[] | null; metadata?: { resourceVersion?: string } }>(
      { what: `list ${resource.plural}`, method: "GET", path },
      options,
    );
    return { items: found.items ?? [], resourceVersion: found.metadata?.resourceVersion ?? "" };
  }

  return {
    list,
    get: (resource, ref, options) =>
      json({ what: `read ${title(resource, ref)}`, method: "GET", path: resourcePath(resource, ref) }, options),
    create: (resource, object, options) => {
      const { name, namespace } = object.metadata ?? {};
      const what = `create ${title(resource, { name: name ?? "", ...definedNamespace(namespace) })}`;
      return json(
        { what, method: "POST", path: resourcePath(resource, definedNamespace(namespace)), body: object },
        options,
      );
    },
    evict: async (ref, options) => {
      const path = resourcePath(pods, { ...ref, subresource: "eviction" });
      const body = { apiVersion: "policy/v1", kind: "Eviction", metadata: ref };
      await json({ what: `evict ${title(pods, ref)}`, method: "POST", path, body }, options);
    },
    patch: (resource, ref, patch, options) =>
      json(
        {
          what: `change ${title(resource, ref)}`,
          method: "PATCH",
          path: resourcePath(resource, ref),
          body: patch,
          contentType: "application/merge-patch+json",
        },
        options,
      ),
    delete: async (resource, ref, options) => {
      const path = `${resourcePath(resource, ref)}${query({ propagationPolicy: options.propagation })}`;
      try {
        const body = options.uid === undefined ? {} : { body: { preconditions: { uid: options.uid } } };
        await json({ what: `delete ${title(resource, ref)}`, method: "DELETE", path, ...body }, options);
        return true;
      } catch (error) {
        if (isKind(error, "not-found")) return false;
        throw error;
      }
    },
    raw: (path, options) =>
      transport.text({
        what: `read ${path}`,
        method: "GET",
        path,
        signal: options.signal,
        deadlineMs: deadlineOf(options),
      }),
    [Symbol.dispose]: () => transport.close(),
  };
}

function deadlineOf(options: CallOptions): number {
  return options.deadlineMs ?? defaultDeadlineMs;
}

function definedNamespace(namespace: string | undefined): Pick<ObjectRef, "namespace"> {
  return namespace === undefined ? {} : { namespace };
}

function query(values: Readonly<Record<string, string | undefined>>): string {
  const given = Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return given.length === 0 ? "" : `?${new URLSearchParams(given)}`;
}

function title(resource: Resource<KubeObject>, ref: NamedRef): string {
  return `${resource.plural}/${ref.namespace === undefined ? "" : `${ref.namespace}/`}${ref.name}`;
}
