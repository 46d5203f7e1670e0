import { z } from "zod";
import { int64, pem, text, textList, timestamp } from "./bounds.ts";

const secret = pem.optional();

export const refreshCertificatesPlanRequest = z.strictObject({ certificates: textList.optional() });
export type RefreshCertificatesPlanRequest = z.infer<typeof refreshCertificatesPlanRequest>;

export const refreshCertificatesPlanResponse = z.object({
  /** The seed of the run; the key is the contract's. */
  seconds: z.bigint(),
  /** null on control planes. */
  "certificate-signing-requests": z.array(z.string()).nullable(),
});
export type RefreshCertificatesPlanResponse = z.infer<typeof refreshCertificatesPlanResponse>;

export const refreshCertificatesRunRequest = z.strictObject({
  certificates: textList.optional(),
  seed: int64.default(0n),
  "expiration-seconds": z.int().default(0),
  "extra-sans": textList.optional(),
});
export type RefreshCertificatesRunRequest = z.infer<typeof refreshCertificatesRunRequest>;

/** `expiration-seconds` is a UNIX timestamp here. */
export const refreshCertificatesRunResponse = z.object({ "expiration-seconds": z.int() });
export type RefreshCertificatesRunResponse = z.infer<typeof refreshCertificatesRunResponse>;

export const refreshCertificatesUpdateRequest = z.strictObject({
  "front-proxy-client-crt": secret,
  "front-proxy-client-key": secret,
  "apiserver-kubelet-client-crt": secret,
  "apiserver-kubelet-client-key": secret,
  "admin-client-crt": secret,
  "admin-client-key": secret,
  "kube-proxy-client-crt": secret,
  "kube-proxy-client-key": secret,
  "kube-scheduler-client-crt": secret,
  "kube-scheduler-client-key": secret,
  "kube-controller-manager-client-crt": secret,
  "kube-controller-manager-client-key": secret,
  "apiserver-crt": secret,
  "apiserver-key": secret,
  "kubelet-crt": secret,
  "kubelet-key": secret,
  "kubelet-client-crt": secret,
  "kubelet-client-key": secret,
});
export type RefreshCertificatesUpdateRequest = z.infer<typeof refreshCertificatesUpdateRequest>;

export const certificateStatus = z.object({
  name: z.string(),
  expires: timestamp,
  /** Common name of the issuer. */
  "certificate-authority": z.string(),
  "externally-managed": z.boolean(),
});
export type CertificateStatus = z.infer<typeof certificateStatus>;

export const certificateAuthorityStatus = z.object({
  name: z.string(),
  expires: timestamp,
  "externally-managed": z.boolean(),
});
export type CertificateAuthorityStatus = z.infer<typeof certificateAuthorityStatus>;

export const certificatesStatusResponse = z.object({
  certificates: z.array(certificateStatus),
  "certificate-authorities": z.array(certificateAuthorityStatus),
});
export type CertificatesStatusResponse = z.infer<typeof certificatesStatusResponse>;

export const certificatesExpiryResponse = z.object({ "expiry-date": timestamp });
export type CertificatesExpiryResponse = z.infer<typeof certificatesExpiryResponse>;

export const approveCertificatesRequest = z.strictObject({ seed: int64.default(0n) });
export type ApproveCertificatesRequest = z.infer<typeof approveCertificatesRequest>;

export const kubeconfigRequest = z.strictObject({ server: text.default("") });
export type KubeconfigRequest = z.infer<typeof kubeconfigRequest>;

export const kubeconfigResponse = z.object({ kubeconfig: z.string() });
export type KubeconfigResponse = z.infer<typeof kubeconfigResponse>;
