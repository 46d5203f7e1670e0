import type { z } from "zod";

export type Method = "GET" | "PUT" | "POST" | "DELETE" | "PATCH";

export type AccessRule =
  /** Unix socket, or a control plane's certificate on the node's own address. */
  | "trusted"
  /** Trusted, and refused on workers. */
  | "trusted-control-plane"
  /** As trusted, and also with a worker's certificate: for what every node may know. */
  | "member"
  /** On a worker the control socket alone: the contract refuses others there. */
  | "local-or-control-plane"
  /** Trusted, or with a bearer token of a user in the group system:monitoring; refused on workers. */
  | "monitoring"
  /** Anyone with this header, over the socket too. */
  | "capi-auth-token"
  | "node-token"
  | "worker-token"
  /** No check here: the endpoint tells nothing secret or checks a secret in the body. */
  | "anyone";

export interface EndpointSpec<Req extends z.ZodType = z.ZodType, Res extends z.ZodType = z.ZodType> {
  readonly method: Method;
  /** `{id}` stands for one path segment. */
  readonly path: `/${string}`;
  /** undefined: the body is not read. */
  readonly request: Req | undefined;
  readonly response: Res;
  readonly access: AccessRule;
  /** Usable before bootstrap or join. */
  readonly beforeInit: boolean;
  /** Unknown keys in the body are an error. */
  readonly strict: boolean;
}

/** A row of the table: strict about the body, and only after the node has a cluster, unless it says otherwise. */
export function endpoint<Req extends z.ZodType, Res extends z.ZodType>(
  method: Method,
  path: `/${string}`,
  rules: { access: AccessRule; beforeInit?: true; strict?: false; request?: Req; response: Res },
): EndpointSpec<Req, Res> {
  const { access, beforeInit = false, strict = true, request, response } = rules;
  return { method, path, request, response, access, beforeInit, strict };
}
