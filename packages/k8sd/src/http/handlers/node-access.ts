import { type SubjectAccessReview, subjectAccessReview } from "@k8sd/api-types";
import { errorText } from "../../lib/app-error.ts";
import { nodeIdOfUid } from "../../pki/node-identity.ts";
import { decode } from "../body.ts";
import { answersRaw } from "../endpoint.ts";

export const nodeAccess = [
  /** kube-apiserver asks about certificates of nodes that it does not know as members. */
  answersRaw("reviewNodeAccess", async ({ domain }, body) => {
    let review: SubjectAccessReview;
    try {
      review = decode(subjectAccessReview, body, false);
    } catch (error) {
      return { status: 400, body: refused(`cannot read the SubjectAccessReview: ${errorText(error)}`) };
    }
    const id = nodeIdOfUid(review.spec.uid);
    // Of a member kube-apiserver will hear in a moment; what it may do the next authorizer decides.
    if (id !== undefined && domain.isMember(id)) return { status: 200, body: answer({ allowed: false }) };
    return { status: 200, body: refused("the certificate is that of a node that is no member of the cluster") };
  }),
];

function refused(reason: string): SubjectAccessReview {
  return answer({ allowed: false, denied: true, reason });
}

function answer(status: NonNullable<SubjectAccessReview["status"]>): SubjectAccessReview {
  return { apiVersion: "authorization.k8s.io/v1", kind: "SubjectAccessReview", spec: { uid: "" }, status };
}
