import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { encodedPath, encodedQuery, type S3Request, signed } from "../../../../src/datastore/snapshot/s3/sign.ts";
import { partsOf } from "../../../../src/datastore/snapshot/s3/upload.ts";
import { parseList } from "../../../../src/datastore/snapshot/s3/xml.ts";

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
const credentials = {
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};
const at = new Date("2013-05-24T00:00:00Z");
const host = "examplebucket.s3.amazonaws.com";
const empty: S3Request = { method: "GET", host, path: "/", query: {}, headers: {}, bodyHash: sha256("") };

/** The examples of the Amazon S3 API reference, "Authenticating Requests: Using the Authorization Header". */
describe("a signature", () => {
  test.each<[string, S3Request, string]>([
    [
      "of a part of an object",
      { ...empty, path: "/test.txt", headers: { range: "bytes=0-9" } },
      "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ],
    [
      "of an upload",
      {
        ...empty,
        method: "PUT",
        path: "/test$file.text",
        headers: { date: "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY" },
        bodyHash: sha256("Welcome to Amazon S3."),
      },
      "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ],
    [
      "of a query",
      { ...empty, query: { "max-keys": "2", prefix: "J" } },
      "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ],
  ])("%s is that of the published example", (_, request, signature) => {
    const { authorization } = signed(request, credentials, "us-east-1", at);
    expect(authorization?.endsWith(`Signature=${signature}`), authorization).toBe(true);
  });

  test("needs a name encoded as the store decodes it", () => {
    expect(encodedPath("/b/a b/(c)*'!~.x")).toBe("/b/a%20b/%28c%29%2A%27%21~.x");
    expect(encodedQuery({ prefix: "a/b", "list-type": "2" })).toBe("list-type=2&prefix=a%2Fb");
  });
});

test("a list is read with what is left for the next page", () => {
  const entry = (key: string, size: number) => `<Contents><Key>${key}</Key><Size>${size}</Size></Contents>`;
  const xml = `<ListBucketResult><IsTruncated>true</IsTruncated>${entry("a&amp;b", 3)}${entry("c", 0)}<NextContinuationToken>t=</NextContinuationToken></ListBucketResult>`;
  expect(parseList(xml)).toEqual({
    objects: [
      { key: "a&b", bytes: 3 },
      { key: "c", bytes: 0 },
    ],
    next: "t=",
  });
  expect(parseList("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>").next).toBeUndefined();
});

test("a file goes in parts that stores take: equal ones, none too small, no more than 10,000", () => {
  const mebibyte = 1024 ** 2;
  const sizes = (size: number): readonly number[] => partsOf(size, 16 * mebibyte).map(({ bytes }) => bytes);
  expect(sizes(33 * mebibyte)).toEqual([16 * mebibyte, 16 * mebibyte, mebibyte]);
  const large = 5 * 1024 ** 4;
  const parts = partsOf(large, 16 * mebibyte);
  expect(parts.length).toBeLessThanOrEqual(10_000);
  expect(
    parts.every(
      ({ number, from, bytes }, at) => number === at + 1 && from === at * (parts[0]?.bytes ?? 0) && bytes > 0,
    ),
  ).toBe(true);
  expect(sizes(large).reduce((sum, bytes) => sum + bytes, 0)).toBe(large);
});
