import { z } from "zod";
import { text, textList } from "./bounds.ts";

export const createAuthTokenRequest = z.strictObject({ username: text.default(""), groups: textList.default([]) });
export type CreateAuthTokenRequest = z.infer<typeof createAuthTokenRequest>;

export const createAuthTokenResponse = z.object({ token: z.string() });
export type CreateAuthTokenResponse = z.infer<typeof createAuthTokenResponse>;

export const revokeAuthTokenRequest = z.strictObject({ token: text.default("") });
export type RevokeAuthTokenRequest = z.infer<typeof revokeAuthTokenRequest>;

/** What kube-apiserver sends and gets, without our envelope. */
export const tokenReview = z.object({
  apiVersion: text.default("authentication.k8s.io/v1"),
  kind: text.default("TokenReview"),
  /** Sent by some clients, never used. */
  metadata: z.json().optional(),
  spec: z
    .object({
      audiences: textList.optional(),
      token: z
        .string()
        .max(64 * 1024)
        .default(""),
    })
    .default({ token: "" }),
  status: z
    .object({
      audiences: z.array(z.string()).optional(),
      authenticated: z.boolean().optional(),
      error: z.string().optional(),
      user: z
        .object({
          extra: z.record(z.string(), z.array(z.string())).optional(),
          groups: z.array(z.string()).optional(),
          uid: z.string().optional(),
          username: z.string().optional(),
        })
        .optional(),
    })
    .optional(),
});
export type TokenReview = z.infer<typeof tokenReview>;

/** What kube-apiserver sends and gets when it does not know the node of a certificate, without our envelope. */
export const subjectAccessReview = z.object({
  apiVersion: text.default("authorization.k8s.io/v1"),
  kind: text.default("SubjectAccessReview"),
  /** What the user wants to do does not matter. */
  spec: z.object({ uid: text.default("") }).default({ uid: "" }),
  status: z.object({ allowed: z.boolean(), denied: z.boolean().optional(), reason: z.string().optional() }).optional(),
});
export type SubjectAccessReview = z.infer<typeof subjectAccessReview>;

export const setCapiAuthTokenRequest = z.strictObject({ token: text.default("") });
export type SetCapiAuthTokenRequest = z.infer<typeof setCapiAuthTokenRequest>;
