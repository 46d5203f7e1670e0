import { isIP, isIPv4 } from "node:net";
import { AppError } from "../lib/app-error.ts";
import { type Asn1, context, oid, sequence, set, utf8String } from "./asn1.ts";

export interface Subject {
  readonly commonName: string;
  readonly organization?: string;
  /** Of the user whom Kubernetes sees in the certificate. */
  readonly uid?: string;
}

export interface SubjectAltNames {
  readonly dns: readonly string[];
  readonly ip: readonly string[];
}

export const noNames: SubjectAltNames = { dns: [], ip: [] };

const commonNameOid = "2.5.4.3";
const organizationOid = "2.5.4.10";
/** Kubernetes' own. */
const uidOid = "1.3.6.1.4.1.57683.2";
const dnsPattern = /^(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;

/** Names in the order given, without doubles, lower case, addresses without zone. */
export function altNames(dns: readonly string[], ip: readonly string[]): SubjectAltNames {
  return {
    dns: [...new Set(dns.map((name) => name.toLowerCase()).filter((name) => name !== ""))],
    ip: [...new Set(ip.map(canonicalIp))],
  };
}

/**
 * Sorts what a user wrote into names and addresses.
 * @param field the configuration key the values came from
 */
export function readSans(values: readonly string[], field: string): SubjectAltNames {
  const addresses = values.filter((value) => isIP(value) !== 0);
  const names = values.filter((value) => isIP(value) === 0).map((name) => name.toLowerCase());
  const wrong = names.find((name) => name.length > 253 || !dnsPattern.test(name));
  if (wrong !== undefined) {
    throw new AppError(
      "invalid",
      `cannot use ${field}: ${JSON.stringify(wrong)} is neither an IP address nor a DNS name`,
      {
        field,
        remedy: "Give plain host names or IP addresses, without scheme, port or brackets.",
      },
    );
  }
  return altNames(names, addresses);
}

/** The one spelling of an address that certificates are compared by. */
export function canonicalIp(address: string): string {
  const [plain = ""] = address.split("%", 1);
  if (isIPv4(plain)) return plain;
  // The parser of addresses in URLs checks too, without the regular expression of isIPv6, which is slow to compile.
  const url = /^[\da-f:.]+$/i.test(plain) ? URL.parse(`http://[${plain}]`) : null;
  if (url === null) throw new AppError("invalid", `cannot use ${JSON.stringify(address)}: it is not an IP address`);
  return url.hostname.slice(1, -1);
}

/** A distinguished name: organization first, as Go writes it. */
export function distinguishedName(subject: Subject): Asn1 {
  const attribute = (type: string, value: string): Asn1 => set(sequence(oid(type), utf8String(value)));
  return sequence(
    ...(subject.organization === undefined ? [] : [attribute(organizationOid, subject.organization)]),
    attribute(commonNameOid, subject.commonName),
    ...(subject.uid === undefined ? [] : [attribute(uidOid, subject.uid)]),
  );
}

/** The GeneralNames of a subjectAltName extension. */
export function generalNames(names: SubjectAltNames): Asn1 {
  return sequence(
    ...names.dns.map((name) => context(2, Buffer.from(name, "ascii"))),
    ...names.ip.map((address) => context(7, ipBytes(address))),
  );
}

export function ipBytes(address: string): Buffer {
  const canonical = canonicalIp(address);
  if (isIPv4(canonical)) return Buffer.from(canonical.split(".").map(Number));
  const [head = "", tail] = canonical.split("::");
  const groups = (part: string): string[] => (part === "" ? [] : part.split(":"));
  const left = groups(head);
  const right = groups(tail ?? "");
  const middle = new Array<string>(tail === undefined ? 0 : 8 - left.length - right.length).fill("0");
  return Buffer.from([...left, ...middle, ...right].map((group) => group.padStart(4, "0")).join(""), "hex");
}

export function ipText(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length !== 16) throw new RangeError("an IP address has 4 or 16 bytes");
  return canonicalIp((bytes.toString("hex").match(/.{4}/g) ?? []).join(":"));
}
