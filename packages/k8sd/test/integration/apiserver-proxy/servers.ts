import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import pino from "pino";
import { type Endpoint, parseEndpoints } from "../../../src/apiserver-proxy/endpoints-file.ts";
import { defaultSettings, type ProxySettings } from "../../../src/apiserver-proxy/proxy.ts";

export const silent = pino({ level: "silent" });

/** Times a test can wait for. */
export const quick: ProxySettings = {
  ...defaultSettings,
  listen: { host: "127.0.0.1", port: 0 },
  dialTimeoutMs: 500,
  staggerMs: 50,
  checkMs: 100,
  firstRetryMs: 50,
  mostRetryMs: 200,
  graceMs: 300,
};

export const endpoints = (...texts: string[]): readonly Endpoint[] =>
  parseEndpoints(JSON.stringify({ endpoints: texts }));

/** Stands for an API server: says its name, then gives back what it hears. */
export interface Backend extends AsyncDisposable {
  readonly text: string;
  readonly port: number;
  readonly sockets: Set<Socket>;
  /** Stops listening and resets what is open: a killed process. */
  kill(): Promise<void>;
  /** Listens on its port again. */
  revive(): Promise<void>;
}

export async function startBackend(name: string, serve: (socket: Socket) => void = greet(name)): Promise<Backend> {
  const sockets = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    serve(socket);
  });
  const listen = async (port: number) => {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
  };
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const kill = async () => {
    for (const socket of sockets) socket.resetAndDestroy();
    if (!server.listening) return;
    server.close();
    await once(server, "close");
  };
  return {
    text: `127.0.0.1:${port}`,
    port,
    sockets,
    kill,
    revive: () => listen(port),
    [Symbol.asyncDispose]: kill,
  };
}

/** A process whose machine can be made to fall silent: stopped, with its queue of connections full, it answers no SYN. */
export async function startFreezable(): Promise<{ readonly text: string; freeze(): Promise<void> } & AsyncDisposable> {
  const program = `require("net").createServer((s) => { s.on("error", () => {}); s.write("frozen\\n"); s.pipe(s); })
    .listen(0, "127.0.0.1", 1, function () { console.log(this.address().port); })`;
  const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  const [said] = (await once(child.stdout, "data")) as [Buffer];
  const port = Number(said.toString());
  const fillers: Socket[] = [];
  const answers = async (): Promise<boolean> => {
    const socket = connect({ port, host: "127.0.0.1" }).on("error", () => {});
    fillers.push(socket);
    const silence = new Promise<false>((resolve) => setTimeout(() => resolve(false), 100));
    return Promise.race([once(socket, "connect").then(() => true), silence]);
  };
  return {
    text: `127.0.0.1:${port}`,
    async freeze() {
      child.kill("SIGSTOP");
      while (await answers());
    },
    async [Symbol.asyncDispose]() {
      for (const socket of fillers) socket.destroy();
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    },
  };
}

const greet = (name: string) => (socket: Socket) => {
  socket.write(`${name}\n`);
  socket.pipe(socket);
};

export interface Client {
  readonly socket: Socket;
  /** Name of the API server that was reached. */
  readonly name: string;
  /** Sends and waits for the same to come back. */
  echo(text: string): Promise<string>;
}

export async function dialProxy(port: number): Promise<Client> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  let heard = "";
  let wake = () => {};
  socket.on("data", (part: Buffer) => {
    heard += part.toString();
    wake();
  });
  const ended = new Promise<never>((_resolve, reject) => {
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("closed")));
  });
  ended.catch(() => {});
  const take = async (length: () => number): Promise<string> => {
    for (;;) {
      const end = length();
      if (end > 0 && heard.length >= end) {
        const taken = heard.slice(0, end);
        heard = heard.slice(end);
        return taken;
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      wake = resolve;
      await Promise.race([promise, ended]);
    }
  };
  const name = (await take(() => heard.indexOf("\n") + 1)).trim();
  return {
    socket,
    name,
    async echo(text) {
      socket.write(text);
      return take(() => text.length);
    },
  };
}
