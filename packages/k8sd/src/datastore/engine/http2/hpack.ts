import { Http2Error, http2Error } from "./http2-error.ts";
import { decodeHuffman } from "./huffman.ts";

interface Field {
  readonly name: string;
  readonly value: string;
}

/** RFC 7541, appendix A. */
const staticFields: readonly Field[] = [
  ...fields(":authority :method=GET :method=POST :path=/ :path=/index.html :scheme=http :scheme=https"),
  ...fields(":status=200 :status=204 :status=206 :status=304 :status=400 :status=404 :status=500 accept-charset"),
  { name: "accept-encoding", value: "gzip, deflate" },
  ...fields("accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control"),
  ...fields("content-disposition content-encoding content-language content-length content-location content-range"),
  ...fields("content-type cookie date etag expect expires from host if-match if-modified-since if-none-match if-range"),
  ...fields(
    "if-unmodified-since last-modified link location max-forwards proxy-authenticate proxy-authorization range",
  ),
  ...fields(
    "referer refresh retry-after server set-cookie strict-transport-security transfer-encoding user-agent vary",
  ),
  ...fields("via www-authenticate"),
];

function fields(text: string): Field[] {
  return text.split(" ").map((entry) => {
    const [name = "", value = ""] = entry.split("=");
    return { name, value };
  });
}

/** What peers may fill: the protocol's default, which is not changed by our settings. */
const tableBytes = 4096;
/** Each entry counts this much beside its text. */
const entryOverhead = 32;

/** Decodes header blocks in the order they arrive; keeps the table that later blocks refer to. */
export type HeaderDecoder = (block: Buffer, each: (name: string, value: string) => void) => void;

export function createHeaderDecoder(): HeaderDecoder {
  /** Newest last: index 62 is the last one. */
  const table: Field[] = [];
  let used = 0;
  let limit = tableBytes;
  let block: Buffer = Buffer.alloc(0);
  let at = 0;

  function octet(): number {
    const value = block[at++];
    if (value === undefined) throw compressionError();
    return value;
  }

  function integer(first: number, prefixBits: number): number {
    const mask = 2 ** prefixBits - 1;
    let value = first & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      const next = octet();
      value += (next & 0x7f) << shift;
      if (next < 0x80) return value;
    }
    throw compressionError();
  }

  function text(): string {
    const first = octet();
    const length = integer(first, 7);
    if (at + length > block.length) throw compressionError();
    const end = at + length;
    const value = first & 0x80 ? decodeHuffman(block.subarray(at, end)) : block.toString("latin1", at, end);
    if (value === undefined) throw compressionError();
    at = end;
    return value;
  }

  function field(index: number): Field {
    const found =
      index <= staticFields.length ? staticFields[index - 1] : table[table.length - (index - staticFields.length)];
    if (!found) throw compressionError();
    return found;
  }

  function shrink(to: number): void {
    while (used > to) {
      const oldest = table.shift();
      if (!oldest) break;
      used -= sizeOf(oldest);
    }
  }

  function keep(added: Field): void {
    const size = sizeOf(added);
    shrink(Math.max(0, limit - size));
    if (size > limit) return;
    table.push(added);
    used += size;
  }

  return (bytes, each) => {
    block = bytes;
    at = 0;
    while (at < block.length) {
      const first = octet();
      if (first & 0x80) {
        const { name, value } = field(integer(first, 7));
        each(name, value);
      } else if ((first & 0xe0) === 0x20) {
        limit = integer(first, 5);
        if (limit > tableBytes) throw compressionError();
        shrink(limit);
      } else {
        const indexed = (first & 0xc0) === 0x40;
        const index = integer(first, indexed ? 6 : 4);
        const name = index === 0 ? text() : field(index).name;
        const read = { name, value: text() };
        if (indexed) keep(read);
        each(read.name, read.value);
      }
    }
  };
}

const sizeOf = ({ name, value }: Field): number => name.length + value.length + entryOverhead;
const compressionError = (): Http2Error => new Http2Error(http2Error.compression, "header block cannot be read");

/** Our blocks use no table, so that they need no memory and no order: this, first on a connection, says so. */
export const noTable: Buffer = Buffer.from([0x20]);

/** A block of plain literals. */
export function headerBlock(headers: Readonly<Record<string, string>>): Buffer {
  return Buffer.concat(
    Object.entries(headers).flatMap(([name, value]) => [Buffer.of(0), literal(name), literal(value)]),
  );
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  const length: number[] = [];
  if (bytes.length < 0x7f) length.push(bytes.length);
  else {
    length.push(0x7f);
    let rest = bytes.length - 0x7f;
    for (; rest >= 0x80; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}
