/** A stream as messages: four bytes of length, then the message. */
export function frame(message: Uint8Array): Uint8Array {
  const framed = Buffer.allocUnsafe(4 + message.length);
  framed.writeUInt32BE(message.length);
  framed.set(message, 4);
  return framed;
}

/** Cuts what arrives into messages. @returns false when one is longer than `max`: the stream cannot be read any further */
export function createUnframer(max: number, deliver: (message: Uint8Array) => void): (chunk: Uint8Array) => boolean {
  let rest = Buffer.alloc(0);
  return (chunk) => {
    rest = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    let at = 0;
    while (rest.length - at >= 4) {
      const size = rest.readUInt32BE(at);
      if (size > max) return false;
      if (rest.length - at - 4 < size) break;
      deliver(rest.subarray(at + 4, at + 4 + size));
      at += 4 + size;
    }
    rest = rest.subarray(at);
    return true;
  };
}
