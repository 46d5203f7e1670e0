/** @types/node-forge describes the package as a whole only; this is its ASN.1 part, as far as it is used. */
declare module "node-forge/lib/asn1.js" {
  import type { asn1 as whole } from "node-forge";

  interface ParseOptions {
    readonly decodeBitStrings: boolean;
    readonly maxDepth: number;
  }

  const asn1: Omit<typeof whole, "fromDer"> & { fromDer(bytes: string, options: ParseOptions): whole.Asn1 };
  export = asn1;
}
