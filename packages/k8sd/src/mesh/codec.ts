import { assertNever } from "../lib/assert-never.ts";
import type { LedgerEntry, Message, NodeAddresses, SignedHead, Update } from "./messages.ts";
import type { Head, LivenessState } from "./types.ts";
import { createReader, createWriter, type Reader, WireError, type Writer } from "./wire.ts";

/** First byte of every message. A node that reads another one drops the message: both versions run during an upgrade. */
const version = 1;

/** What a message may be at most. The transport cuts frames at `messageBytes`; the rest bounds what one is unpacked to. */
export const limits = {
  messageBytes: 64 * 1024,
  updates: 512,
  /**
   * What others may say of a node's incarnation. A node that objects goes above it, and must still be able to say so: its own
   * is sent doubled, within the whole numbers. Counted in milliseconds since the Unix epoch it is reached in 35,000 years.
   */
  incarnation: 2 ** 50,
  addressEntries: 256,
  addressesPerNode: 8,
  addressBytes: 256,
  entries: 1024,
  keyBytes: 256,
  /** A record of the ledger is below 2 KiB; this leaves room for growth and three of them in a message. */
  valueBytes: 16 * 1024,
  signatureBytes: 128,
} as const;

const types = [
  "ping",
  "ack",
  "ping-request",
  "nack",
  "relayed",
  "gossip",
  "sync",
  "states",
  "addresses",
  "pull",
  "announce",
  "chunk",
] as const satisfies readonly Message["type"][];
const states = ["unknown", "alive", "suspect", "dead", "left"] as const satisfies readonly LivenessState[];

export function encode(message: Message): Uint8Array {
  const out = createWriter();
  out.byte(version);
  out.byte(types.indexOf(message.type));
  if ("incarnation" in message) {
    out.number(message.incarnation * 2 + (message.leaving ? 1 : 0));
    out.number(message.updates.length);
    for (const update of message.updates) writeUpdate(out, update);
  }
  switch (message.type) {
    case "ping":
      out.number(message.seq);
      writeHead(out, message.head);
      break;
    case "ack":
      out.number(message.seq);
      writeHead(out, message.head);
      out.number(Math.max(0, Math.floor(message.wallTime)));
      break;
    case "ping-request":
      out.number(message.seq);
      out.id(message.target);
      break;
    case "nack":
    case "relayed":
      out.number(message.seq);
      break;
    case "gossip":
      break;
    case "sync":
      out.number(message.digest);
      break;
    case "states":
      out.byte(message.reply ? 1 : 0);
      break;
    case "addresses":
      out.number(message.entries.length);
      for (const entry of message.entries) writeAddresses(out, entry);
      break;
    case "pull":
      writeHead(out, message.have);
      out.text(message.after);
      break;
    case "announce":
      writeHead(out, message.head);
      break;
    case "chunk":
      writeSigned(out, message.head);
      out.byte((message.last ? 1 : 0) + (message.base === undefined ? 2 : 0));
      if (message.base !== undefined) writeHead(out, message.base);
      out.text(message.after);
      out.number(message.entries.length);
      for (const entry of message.entries) {
        out.text(entry.key);
        out.text(entry.value);
        out.number(entry.revision);
      }
      out.number(message.removed.length);
      for (const { key, revision } of message.removed) {
        out.text(key);
        out.number(revision);
      }
      break;
    default:
      return assertNever(message);
  }
  return out.finish();
}

/** @returns undefined for whatever is not a message of this version */
export function decode(bytes: Uint8Array): Message | undefined {
  if (bytes.length > limits.messageBytes) return undefined;
  const input = createReader(bytes);
  try {
    if (input.byte() !== version) return undefined;
    const type = types[input.byte()];
    if (type === undefined) return undefined;
    const message = read(type, input);
    input.end();
    return message;
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}

function read(type: Message["type"], input: Reader): Message {
  switch (type) {
    case "ping":
      return { type, ...readFrom(input), seq: input.number(), head: readHead(input) };
    case "ack":
      return { type, ...readFrom(input), seq: input.number(), head: readHead(input), wallTime: input.number() };
    case "ping-request":
      return { type, ...readFrom(input), seq: input.number(), target: input.id() };
    case "nack":
    case "relayed":
      return { type, ...readFrom(input), seq: input.number() };
    case "gossip":
      return { type, ...readFrom(input) };
    case "sync":
      return { type, ...readFrom(input), digest: input.number() };
    case "states":
      return { type, ...readFrom(input), reply: input.byte() === 1 };
    case "addresses":
      return { type, entries: list(input, limits.addressEntries, readAddresses) };
    case "pull":
      return { type, have: readHead(input), after: input.text(limits.keyBytes) };
    case "announce":
      return { type, head: readHead(input) };
    case "chunk": {
      const head = readSigned(input);
      const flags = input.byte();
      return {
        type,
        head,
        last: (flags & 1) === 1,
        base: (flags & 2) === 2 ? undefined : readHead(input),
        after: input.text(limits.keyBytes),
        entries: list(input, limits.entries, readEntry),
        removed: list(input, limits.entries, () => ({ key: input.text(limits.keyBytes), revision: input.number() })),
      };
    }
    default:
      return assertNever(type);
  }
}

function list<T>(input: Reader, max: number, item: (input: Reader) => T): T[] {
  const count = input.count(max);
  const items: T[] = [];
  for (let index = 0; index < count; index++) items.push(item(input));
  return items;
}

function readFrom(input: Reader): { incarnation: number; leaving: boolean; updates: readonly Update[] } {
  const packed = input.number();
  return {
    incarnation: Math.floor(packed / 2),
    leaving: packed % 2 === 1,
    updates: list(input, limits.updates, readUpdate).filter(({ incarnation }) => incarnation <= limits.incarnation),
  };
}

function writeUpdate(out: Writer, update: Update): void {
  const by = update.by === undefined ? 0 : 8;
  out.byte(states.indexOf(update.state) + by);
  out.id(update.id);
  out.number(update.incarnation);
  if (update.by !== undefined) out.id(update.by);
}

function readUpdate(input: Reader): Update {
  const packed = input.byte();
  const state = states[packed & 7];
  if (state === undefined) throw new WireError("unknown state");
  const update = { state, id: input.id(), incarnation: input.number() };
  return (packed & 8) === 8 ? { ...update, by: input.id() } : update;
}

function writeHead(out: Writer, head: Head): void {
  out.number(head.epoch);
  out.number(head.revision);
}

function readHead(input: Reader): Head {
  return { epoch: input.number(), revision: input.number() };
}

function writeSigned(out: Writer, head: SignedHead): void {
  writeHead(out, head);
  out.fixed(head.root);
  out.id(head.author);
  out.bytes(head.signature);
}

function readSigned(input: Reader): SignedHead {
  return {
    ...readHead(input),
    root: input.fixed(32),
    author: input.id(),
    signature: input.bytes(limits.signatureBytes),
  };
}

function readEntry(input: Reader): LedgerEntry {
  return { key: input.text(limits.keyBytes), value: input.text(limits.valueBytes), revision: input.number() };
}

function writeAddresses(out: Writer, entry: NodeAddresses): void {
  out.id(entry.id);
  out.number(entry.incarnation);
  out.number(entry.addresses.length);
  for (const address of entry.addresses) out.text(address);
}

function readAddresses(input: Reader): NodeAddresses {
  return {
    id: input.id(),
    incarnation: input.number(),
    addresses: list(input, limits.addressesPerNode, () => input.text(limits.addressBytes)),
  };
}
