/** Of this k8sd; `package.json` says the same, which a test checks. */
export const version = "0.1.0";
