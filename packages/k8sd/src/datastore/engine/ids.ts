import { randomBytes } from "node:crypto";

/** Of a cluster or a member. Below 2^62, so that it is positive wherever it is read as a signed number. */
export function newIdentity(): bigint {
  return randomBytes(8).readBigUInt64BE() >> 2n;
}

/** Never 0, which asks for one. Below 2^53, so that it is cheap to read back. */
export function newLeaseId(): bigint {
  return (randomBytes(8).readBigUInt64BE() >> 12n) | 1n;
}
