import { flag, unpadded } from "./frames.ts";
import { createHeaderDecoder } from "./hpack.ts";
import { Http2Error, http2Error } from "./http2-error.ts";

/** Puts header blocks together that came in several frames. */
export interface HeaderBlocks {
  /** A block goes on in the next frame, and nothing may come between. */
  readonly unfinished: boolean;
  headers(id: number, flags: number, payload: Buffer): void;
  continuation(id: number, flags: number, payload: Buffer): void;
}

export const maxHeaderBytes = 16 * 1024;
/** Tiny continuations would cost more than their bytes. */
const maxContinuations = 64;

/** @param onPath is told of each whole block; flags are those of its first frame. */
export function createHeaderBlocks(onPath: (id: number, flags: number, path: string) => void): HeaderBlocks {
  const decode = createHeaderDecoder();
  let block: { readonly id: number; readonly flags: number; readonly parts: Buffer[]; bytes: number } | undefined;

  function finish(): void {
    if (!block) return;
    const { id, flags, parts } = block;
    block = undefined;
    let path = "";
    decode(parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts), (name, value) => {
      if (name === ":path") path = value;
    });
    onPath(id, flags, path);
  }

  return {
    get unfinished() {
      return block !== undefined;
    },
    headers(id, flags, payload) {
      const bytes = unpadded(flags, payload).subarray(flags & flag.priority ? 5 : 0);
      block = { id, flags, parts: [bytes], bytes: bytes.length };
      if (flags & flag.endHeaders) finish();
    },
    continuation(id, flags, payload) {
      if (block?.id !== id) throw new Http2Error(http2Error.protocol, "continuation of nothing");
      block.parts.push(Buffer.from(payload));
      block.bytes += payload.length;
      if (block.bytes > maxHeaderBytes || block.parts.length > maxContinuations) {
        throw new Http2Error(http2Error.enhanceYourCalm, "header block is too large");
      }
      if (flags & flag.endHeaders) finish();
    },
  };
}
