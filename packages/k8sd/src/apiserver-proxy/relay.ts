import type { Socket } from "node:net";

/** After one side has said and heard everything, the other gets this long to take what is left for it. */
const lingerMs = 30_000;

export interface Relay {
  /** Ends both sides now. */
  close(): void;
}

/**
 * Passes bytes both ways until both sides are closed. An end of one direction is passed on and leaves the other open; a
 * reset is passed on as a reset. What is in flight is bounded by the two sockets' buffers: a slow reader stops the writer.
 */
export function relay(client: Socket, server: Socket, ended: () => void): Relay {
  let open = 2;
  let linger: NodeJS.Timeout | undefined;
  const connect = (from: Socket, to: Socket): void => {
    from.pipe(to);
    // "close" follows and tells that there was an error.
    from.on("error", () => {});
    from.once("close", (failed) => {
      open -= 1;
      if (open === 0) {
        clearTimeout(linger);
        ended();
        return;
      }
      if (failed) to.resetAndDestroy();
      else linger = setTimeout(() => to.destroy(), lingerMs).unref();
    });
  };
  connect(client, server);
  connect(server, client);
  return {
    close() {
      client.destroy();
      server.destroy();
    },
  };
}
