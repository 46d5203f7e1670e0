/**
 * Lengths in bits of HPACK's Huffman codes (RFC 7541, appendix B), by octet; the last is the end mark. The code is canonical:
 * codes of one length count upwards in the order of the octets, so the lengths say everything.
 */
// biome-ignore format: a table of 16 columns
const codeLengths: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
  6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
];
const endMark = 256;
const longestPadding = 7;

/** A binary tree in two arrays: a child is another node, or ~octet at a leaf. */
const zero: number[] = [0];
const one: number[] = [0];
buildTree();

function buildTree(): void {
  let code = 0;
  let previousLength = 0;
  const byLength = codeLengths
    .map((length, octet) => ({ length, octet }))
    .sort((a, b) => a.length - b.length || a.octet - b.octet);
  for (const { length, octet } of byLength) {
    code = previousLength === 0 ? 0 : (code + 1) * 2 ** (length - previousLength);
    previousLength = length;
    insert(code, length, octet);
  }
}

function insert(code: number, length: number, octet: number): void {
  let node = 0;
  for (let bit = length - 1; bit > 0; bit--) {
    const side = (code >>> bit) & 1 ? one : zero;
    let child = side[node] ?? 0;
    if (child === 0) {
      child = zero.push(0) - 1;
      one.push(0);
      side[node] = child;
    }
    node = child;
  }
  (code & 1 ? one : zero)[node] = ~octet;
}

/** Undefined when the bytes are no valid code. */
export function decodeHuffman(bytes: Uint8Array): string | undefined {
  let text = "";
  let node = 0;
  let bits = 0;
  let onlyOnes = true;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      const set = ((byte >>> bit) & 1) === 1;
      const child = (set ? one : zero)[node] ?? 0;
      bits++;
      onlyOnes &&= set;
      if (child >= 0) {
        node = child;
        continue;
      }
      const octet = ~child;
      if (octet === endMark) return undefined;
      text += String.fromCharCode(octet);
      node = 0;
      bits = 0;
      onlyOnes = true;
    }
  }
  // What is left are the first bits of the end mark, which is all ones.
  return bits <= longestPadding && onlyOnes ? text : undefined;
}
