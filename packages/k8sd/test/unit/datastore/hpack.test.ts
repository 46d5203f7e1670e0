import { expect, test } from "vitest";
import { createHeaderDecoder, headerBlock } from "../../../src/datastore/engine/http2/hpack.ts";
import { decodeHuffman } from "../../../src/datastore/engine/http2/huffman.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
const reader = () => {
  const decode = createHeaderDecoder();
  return (block: Buffer) => {
    const fields: string[] = [];
    decode(block, (name, value) => fields.push(`${name}: ${value}`));
    return fields;
  };
};

test("the requests of RFC 7541, C.4: Huffman codes, the static and the growing table", () => {
  const read = reader();
  expect(read(hex("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff"))).toEqual([
    ":method: GET",
    ":scheme: http",
    ":path: /",
    ":authority: www.example.com",
  ]);
  expect(read(hex("8286 84be 5886 a8eb 1064 9cbf"))).toEqual([
    ":method: GET",
    ":scheme: http",
    ":path: /",
    ":authority: www.example.com",
    "cache-control: no-cache",
  ]);
  expect(read(hex("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf"))).toEqual([
    ":method: GET",
    ":scheme: https",
    ":path: /index.html",
    ":authority: www.example.com",
    "custom-key: custom-value",
  ]);
});

test("entries leave a table that the peer makes smaller", () => {
  const read = reader();
  read(hex("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572"));
  expect(read(hex("be"))).toEqual(["custom-key: custom-header"]);
  expect(() => read(hex("20 be"))).toThrow("cannot be read");
});

test.each([
  ["an index beyond the tables", "ff 80 01"],
  ["the index nought", "80"],
  ["a text longer than its block", "00 0a 61"],
  ["a number without an end", "ff ff ff ff ff ff"],
  ["a table larger than agreed", "3f e2 1f"],
])("%s is refused", (_, block) => {
  expect(() => reader()(hex(block))).toThrow("cannot be read");
});

test("codes that are cut, padded with zeros or hold the end mark are none", () => {
  expect(decodeHuffman(hex("1f"))).toBe("a");
  expect(decodeHuffman(hex("18"))).toBeUndefined();
  expect(decodeHuffman(hex("1fff"))).toBeUndefined();
  expect(decodeHuffman(hex("ffff ffff"))).toBeUndefined();
});

test("our own blocks are read back, long values too", () => {
  const value = "x".repeat(400);
  expect(reader()(headerBlock({ ":status": "200", "grpc-message": value }))).toEqual([
    ":status: 200",
    `grpc-message: ${value}`,
  ]);
});
