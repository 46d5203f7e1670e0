import type { TLSSocket } from "node:tls";
import type { AbortOptions, MessageStream } from "@libp2p/interface";
import { AbstractMessageStream } from "@libp2p/utils";
import { orAborted } from "../lib/wait.ts";

type SendData = AbstractMessageStream["sendData"];

/** What was encrypted by `socket`, over `below`; both end together. A class, because libp2p's streams are made by extension. */
export class TlsStream extends AbstractMessageStream {
  readonly #below: MessageStream;
  readonly #socket: TLSSocket;
  readonly #ended = Promise.withResolvers<void>();

  constructor(below: MessageStream, socket: TLSSocket) {
    const { log, direction, inactivityTimeout, maxReadBufferLength } = below;
    super({ log, direction, inactivityTimeout, maxReadBufferLength });
    this.#below = below;
    this.#socket = socket;
    below.addEventListener("close", ({ error, local }) => {
      this.#ended.resolve();
      socket.destroy();
      if (error === undefined) this.onTransportClosed();
      else if (local) this.abort(error);
      else this.onRemoteReset();
    });
    if (below.status !== "open") this.#ended.resolve();
    socket.on("error", (error) => below.abort(error));
    socket.on("close", () => {
      below.close().catch((error: unknown) => below.abort(error as Error));
    });
    socket.on("drain", () => this.safeDispatchEvent("drain"));
    socket.on("data", (bytes: Buffer) => this.onData(bytes));
  }

  sendData: SendData = (data) => ({ sentBytes: data.byteLength, canSendMore: this.#socket.write(data.subarray()) });

  sendPause(): void {
    this.#socket.pause();
  }

  sendResume(): void {
    this.#socket.resume();
  }

  sendReset(error: Error): void {
    this.#socket.destroy();
    this.#below.abort(error);
  }

  /** What was written before still goes out. */
  async close(options: AbortOptions = {}): Promise<void> {
    this.#socket.destroySoon();
    await (options.signal === undefined ? this.#ended.promise : orAborted(this.#ended.promise, options.signal));
  }
}
