import { createHash } from "node:crypto";
import { access, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { runCommand } from "../run-command.ts";
import { createDownloader, findChecksum } from "../sources/download.ts";
import { fromRelease } from "../sources/release.ts";
import { aContext, aProgram, serve, serveFiles, temporaryDirectory, writeScript } from "./support.ts";

const signal = new AbortController().signal;
const quick = { answerMs: 150, stallMs: 150 };
const sha256 = (content: string | Buffer): string => createHash("sha256").update(content).digest("hex");

describe("a download", () => {
  it("is kept when its checksum is the published one", async () => {
    await using directory = await temporaryDirectory();
    await using server = await serveFiles(new Map([["/file", "content"]]));
    const destination = join(directory.path, "file");
    await createDownloader().file({ url: `${server.url}/file`, sha256: sha256("content"), destination, signal });
    expect(await readFile(destination, "utf8")).toBe("content");
  });

  it("with another checksum is an error that names both sums, and leaves no file", async () => {
    await using directory = await temporaryDirectory();
    await using server = await serveFiles(new Map([["/file", "changed"]]));
    const destination = join(directory.path, "file");
    const download = createDownloader().file({
      url: `${server.url}/file`,
      sha256: sha256("content"),
      destination,
      signal,
    });
    await expect(download).rejects.toThrow(`its SHA-256 is ${sha256("changed")}, published is ${sha256("content")}`);
    await expect(access(destination)).rejects.toThrow("ENOENT");
  });

  it("that ends too early is an error and leaves no file", async () => {
    await using directory = await temporaryDirectory();
    await using server = await serve((_request, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("part", () => response.destroy());
    });
    const destination = join(directory.path, "file");
    const download = createDownloader().file({
      url: `${server.url}/file`,
      sha256: sha256("part"),
      destination,
      signal,
    });
    await expect(download).rejects.toThrow("cannot download");
    await expect(access(destination)).rejects.toThrow("ENOENT");
  });

  it("that the server does not have is an error with the server's answer", async () => {
    await using server = await serveFiles(new Map());
    await expect(createDownloader().text(`${server.url}/none`, signal)).rejects.toThrow("the server answered 404");
  });

  it("whose server does not answer ends at the deadline, and that server is not asked again", async () => {
    await using server = await serve(() => undefined);
    const downloader = createDownloader(quick);
    await expect(downloader.text(`${server.url}/one`, signal)).rejects.toThrow("no answer in 0.15 s");
    await expect(downloader.text(`${server.url}/two`, signal)).rejects.toThrow("no answer in 0.15 s");
    expect(server.requests).toEqual(["/one"]);
  });

  it("that stalls in the middle ends at the deadline; others from the same server go on", async () => {
    await using server = await serve((request, response) => {
      if (request.url === "/slow") response.write("begin");
      else response.end("fine");
    });
    const downloader = createDownloader(quick);
    await expect(downloader.text(`${server.url}/slow`, signal)).rejects.toThrow("no data for 0.15 s");
    expect(await downloader.text(`${server.url}/other`, signal)).toBe("fine");
  });

  it("from a name that does not resolve fails at once and says so", async () => {
    const started = Date.now();
    await expect(createDownloader().text("http://no-such-host.invalid/x", signal)).rejects.toThrow(
      "cannot resolve no-such-host.invalid",
    );
    expect(Date.now() - started).toBeLessThan(5_000);
  });

  it("ends when its caller gives up", async () => {
    await using server = await serve(() => undefined);
    const stop = new AbortController();
    const download = createDownloader().text(`${server.url}/x`, stop.signal);
    stop.abort(new Error("enough"));
    await expect(download).rejects.toThrow("enough");
  });
});

describe("findChecksum", () => {
  const sum = "a".repeat(64);
  it.each([
    ["the bare sum", sum],
    ["the bare sum with a newline", `${sum}\n`],
    ["a line with the file's name", `${sum}  tool.tar.gz\n`],
    ["one of several lines", `${"b".repeat(64)}  other.tar.gz\n${sum} *tool.tar.gz\n`],
  ])("finds %s", (_what, published) => {
    expect(findChecksum(published, "https://example.org/v1/tool.tar.gz")).toBe(sum);
  });

  it.each([
    ["nothing", ""],
    ["only other files", `${sum}  other.tar.gz`],
    ["something that is no sum", "<html>Sign in</html>"],
  ])("refuses %s", (_what, published) => {
    expect(() => findChecksum(published, "https://example.org/tool.tar.gz")).toThrow("does not hold its SHA-256");
  });
});

describe("a release", () => {
  it("gives the programs of an archive, checked against the published sums", async () => {
    await using directory = await temporaryDirectory();
    await writeScript(join(directory.path, "packed", "tool-1.2.3", "tool"), "echo tool");
    await writeScript(join(directory.path, "packed", "tool-1.2.3", "helper"), "echo helper");
    const archive = join(directory.path, "tool.tgz");
    const args = ["-czf", archive, "-C", join(directory.path, "packed"), "tool-1.2.3"];
    await runCommand({ program: "tar", args, signal, deadlineMs: 10_000 });
    const content = await readFile(archive);
    await using server = await serveFiles(
      new Map<string, string | Buffer>([
        ["/v1.2.3/tool-amd64.tgz", content],
        ["/v1.2.3/sums", `${sha256(content)}  tool-amd64.tgz\n`],
      ]),
    );
    const program = aProgram({
      files: ["tool", "sub/helper"],
      release: {
        version: "1.2.3",
        url: `${server.url}/v{version}/tool-{arch}.tgz`,
        checksum: `${server.url}/v{version}/sums`,
        archivePath: "tool-{version}/{file}",
      },
    });
    const context = await aContext(directory.path);
    const obtained = await fromRelease(program, context, { downloader: createDownloader(), run: runCommand });
    expect(obtained.version).toBe("1.2.3");
    const run = (file: string): Promise<string> =>
      runCommand({ program: join(context.tree, "bin", file), args: [], signal, deadlineMs: 10_000 });
    expect([await run("tool"), await run("sub/helper")]).toEqual(["tool", "helper"]);
    // One archive is fetched once, however many programs are in it.
    expect(server.requests).toEqual(["/v1.2.3/sums", "/v1.2.3/tool-amd64.tgz"]);
  });

  it("is not fetched when its checksum is not published", async () => {
    await using directory = await temporaryDirectory();
    await using server = await serveFiles(new Map([["/tool", "anything"]]));
    const program = aProgram({
      release: { version: "1", url: `${server.url}/{file}`, checksum: `${server.url}/{file}.sha256` },
    });
    const context = await aContext(directory.path);
    const obtained = fromRelease(program, context, { downloader: createDownloader(), run: runCommand });
    await expect(obtained).rejects.toThrow("404");
    expect(server.requests).toEqual(["/tool.sha256"]);
  });
});
