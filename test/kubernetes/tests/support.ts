import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Program } from "../manifest.ts";
import type { SourceContext } from "../sources/source.ts";

export async function temporaryDirectory(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "k8sd-kubernetes-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

export interface TestServer extends AsyncDisposable {
  readonly url: string;
  /** Paths in the order in which they were asked for. */
  readonly requests: readonly string[];
}

export async function serve(listener: RequestListener): Promise<TestServer> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(request.url ?? "");
    return listener(request, response);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

/** Serves what a map holds; 404 for all else. */
export function serveFiles(files: ReadonlyMap<string, string | Buffer>): Promise<TestServer> {
  return serve((request, response) => {
    const content = files.get(request.url ?? "");
    if (content === undefined) response.writeHead(404).end("no such file");
    else response.end(content);
  });
}

export async function aContext(
  directory: string,
  report: (line: string) => void = () => undefined,
): Promise<SourceContext> {
  const scratch = join(directory, "scratch");
  await mkdir(scratch, { recursive: true });
  return {
    tree: join(directory, "tree"),
    scratch,
    architecture: "amd64",
    signal: new AbortController().signal,
    report,
  };
}

export function aProgram(changes: Partial<Program> = {}): Program {
  return {
    name: "tool",
    version: "1.2.3",
    files: ["tool"],
    optional: false,
    sources: ["release", "debian"],
    release: { version: "1.2.3", url: "http://127.0.0.1:1/{file}", checksum: "http://127.0.0.1:1/{file}.sha256" },
    debian: { suites: ["newer"], packages: ["tool"], minimum: "1", path: "usr/bin/{file}" },
    ...changes,
  };
}

export async function writeScript(path: string, body: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `#!/bin/sh\n${body}\n`);
  await chmod(path, 0o755);
}
