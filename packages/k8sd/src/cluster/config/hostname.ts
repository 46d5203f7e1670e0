import { domainToASCII } from "node:url";
import { AppError } from "../../lib/app-error.ts";

const label = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** The name of a node as Kubernetes and certificates take it: lower case, ASCII, a valid DNS name. */
export function cleanHostname(hostname: string): string {
  const invalid = (reason: string) =>
    new AppError("invalid", `invalid hostname ${JSON.stringify(hostname)}: ${reason}`, {
      field: "name",
      remedy: "Give a name of letters, digits, '-' and '.' with --name.",
    });
  if (hostname === "") throw invalid("it is empty");
  if (hostname.endsWith(".")) throw invalid("it ends with a dot");
  // Only names that need it take the way over IDNA: for "1" or "0x7f" node would answer an IPv4 address.
  const ascii = /^[\0-\x7f]*$/.test(hostname) ? hostname.toLowerCase() : domainToASCII(hostname);
  if (ascii === "" || hostname.includes("%")) throw invalid("it has no form in ASCII");
  if (ascii.length > 253) throw invalid("it is longer than 253 characters");
  const bad = ascii.split(".").find((part) => !label.test(part));
  if (bad !== undefined) throw invalid(`${JSON.stringify(bad)} is not a valid part of a DNS name`);
  return ascii;
}
