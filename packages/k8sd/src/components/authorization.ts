import { stringify } from "yaml";
import type { WantedFile } from "../lib/write-file.ts";
import { nodeUid, nodeUidPrefix } from "../pki/node-identity.ts";
import type { NodeView } from "./component.ts";

/** The longest expression that kube-apiserver reads has 100,000 characters. */
const mostInOneExpression = 1_000;

/**
 * Who may do what in Kubernetes: first of all nothing, for the certificates of a node that is no member. kube-apiserver
 * finds them by the UID in them, asks k8sd about them alone, and takes no answer for a no. It reads a changed file anew.
 * @param members ids of the nodes in the cluster
 */
export function authorizationConfig(node: NodeView, members: readonly string[]): WantedFile {
  const { authorizationConfig: path, authorizationWebhook } = node.paths;
  const content = stringify({
    apiVersion: "apiserver.config.k8s.io/v1",
    kind: "AuthorizationConfiguration",
    authorizers: [
      {
        type: "Webhook",
        name: "k8sd-members",
        webhook: {
          connectionInfo: { type: "KubeConfigFile", kubeConfigFile: authorizationWebhook },
          failurePolicy: "Deny",
          timeout: "3s",
          subjectAccessReviewVersion: "v1",
          matchConditionSubjectAccessReviewVersion: "v1",
          matchConditions: [`request.uid.startsWith('${nodeUidPrefix}')`, ...noneOf(members)].map((expression) => ({
            expression,
          })),
        },
      },
      ...node.authorizationMode.split(",").map((type) => ({ type, name: type.toLowerCase() })),
    ],
  });
  return { path, content, mode: 0o600 };
}

/** All of the conditions have to be met. */
function noneOf(members: readonly string[]): readonly string[] {
  const uids = members.map((id) => `'${nodeUid(id)}'`).sort();
  const parts = Array.from({ length: Math.ceil(uids.length / mostInOneExpression) }, (_, part) =>
    uids.slice(part * mostInOneExpression, (part + 1) * mostInOneExpression),
  );
  return parts.map((part) => `!(request.uid in [${part.join(", ")}])`);
}

/** The arguments of kube-apiserver for it. It takes a file or single arguments: a user's own keep ours out. */
export function authorizationArguments(node: NodeView): Readonly<Record<string, string>> {
  const theirs = Object.entries(node.extraArgs["kube-apiserver"] ?? {}).filter(([name]) =>
    name.startsWith("--authorization-"),
  );
  if (theirs.length === 0) return { "--authorization-config": node.paths.authorizationConfig };
  const hasFile = theirs.some(([name, value]) => name === "--authorization-config" && value !== null);
  return hasFile ? {} : { "--authorization-mode": node.authorizationMode };
}
