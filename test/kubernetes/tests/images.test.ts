import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { makeImages, testPage, webFiles } from "../images/make-images.ts";
import { pauseImage, webImage } from "../images/names.ts";
import { makeImage } from "../images/oci.ts";
import { writeTar } from "../images/tar.ts";
import { runCommand } from "../run-command.ts";
import { aContext, temporaryDirectory, writeScript } from "./support.ts";

const signal = new AbortController().signal;
const sha256 = (content: Uint8Array): string => `sha256:${createHash("sha256").update(content).digest("hex")}`;
const options = {
  name: "localhost/test/web:7",
  architecture: "amd64",
  files: webFiles(Buffer.from("not really busybox"), ["sh", "ls", "busybox"]),
  entrypoint: ["/bin/httpd"],
  ports: [80],
};

async function unpack(archive: string, into: string): Promise<void> {
  await mkdir(into);
  await runCommand({ program: "tar", args: ["-xf", archive, "-C", into], signal, deadlineMs: 10_000 });
}

async function readJson(path: string): Promise<unknown> {
  return JSON.parse(await readFile(path, "utf8"));
}

describe("an archive", () => {
  it("is read by tar with names, modes, links and contents as given", async () => {
    await using directory = await temporaryDirectory();
    const archive = join(directory.path, "a.tar");
    await writeFile(
      archive,
      writeTar([
        { kind: "directory", path: "tmp", mode: 0o1777 },
        { kind: "file", path: "tmp/exact", mode: 0o640, content: Buffer.alloc(512, "x") },
        { kind: "file", path: "tmp/empty", mode: 0o755, content: Buffer.alloc(0) },
        { kind: "link", path: "tmp/link", target: "exact" },
      ]),
    );
    const args = ["--numeric-owner", "--utc", "-tvf", archive];
    const listed = await runCommand({ program: "tar", args, signal, deadlineMs: 10_000, env: { LC_ALL: "C" } });
    expect(listed.split("\n").map((line) => line.replaceAll(/ +/g, " "))).toEqual([
      "drwxrwxrwt 0/0 0 1970-01-01 00:00 tmp/",
      "-rw-r----- 0/0 512 1970-01-01 00:00 tmp/exact",
      "-rwxr-xr-x 0/0 0 1970-01-01 00:00 tmp/empty",
      "lrwxrwxrwx 0/0 0 1970-01-01 00:00 tmp/link -> exact",
    ]);
  });

  it("refuses a name that does not fit", () => {
    expect(() => writeTar([{ kind: "directory", path: "d".repeat(100), mode: 0o755 }])).toThrow("too long");
  });
});

describe("an image", () => {
  it("is the same bytes for the same content, and another digest for another content", () => {
    expect(makeImage(options).archive.equals(makeImage(options).archive)).toBe(true);
    const other = { ...options, files: webFiles(Buffer.from("another busybox"), ["sh"]) };
    expect(makeImage(other).digest).not.toBe(makeImage(options).digest);
  });

  it("is an OCI layout in which every digest and size is that of the content", async () => {
    await using directory = await temporaryDirectory();
    const image = makeImage(options);
    await writeFile(join(directory.path, "image.tar"), image.archive);
    const layout = join(directory.path, "layout");
    await unpack(join(directory.path, "image.tar"), layout);
    expect(await readJson(join(layout, "oci-layout"))).toEqual({ imageLayoutVersion: "1.0.0" });
    for (const name of await readdir(join(layout, "blobs", "sha256"))) {
      expect(sha256(await readFile(join(layout, "blobs", "sha256", name)))).toBe(`sha256:${name}`);
    }
    const blob = (digest: string): Promise<Buffer> => readFile(join(layout, "blobs", "sha256", digest.slice(7)));
    const manifest = JSON.parse((await blob(image.digest)).toString());
    expect(await readJson(join(layout, "index.json"))).toMatchObject({
      manifests: [
        {
          digest: image.digest,
          size: (await blob(image.digest)).length,
          annotations: {
            "io.containerd.image.name": "localhost/test/web:7",
            "org.opencontainers.image.ref.name": "7",
          },
        },
      ],
    });
    const [layer] = manifest.layers;
    const packed = await blob(layer.digest);
    expect(layer.size).toBe(packed.length);
    const config = JSON.parse((await blob(manifest.config.digest)).toString());
    expect(manifest.config.size).toBe((await blob(manifest.config.digest)).length);
    expect(config.rootfs.diff_ids).toEqual([sha256(gunzipSync(packed))]);
    expect(config.config).toEqual({
      Env: ["PATH=/bin"],
      Entrypoint: ["/bin/httpd"],
      WorkingDir: "/",
      ExposedPorts: { "80/tcp": {} },
    });
    await writeFile(join(directory.path, "layer.tar"), gunzipSync(packed));
    await unpack(join(directory.path, "layer.tar"), join(directory.path, "root"));
    expect(await readFile(join(directory.path, "root", "www", "index.html"), "utf8")).toBe(testPage);
    expect(await readFile(join(directory.path, "root", "bin", "sh"), "utf8")).toBe("not really busybox");
  });
});

describe("the images of the development clusters", () => {
  it("are made of a compiled pause and a busybox", async () => {
    await using directory = await temporaryDirectory();
    const busybox = join(directory.path, "busybox");
    await writeScript(busybox, "echo sh; echo httpd");
    const context = await aContext(directory.path);
    const first = await makeImages(context, { run: runCommand, busybox });
    expect(first.images.map(({ name, archive }) => [name, archive])).toEqual([
      [pauseImage, "images/pause.tar"],
      [webImage, "images/web.tar"],
    ]);
    // The compiler, too, has to give the same bytes for the same source.
    expect((await makeImages(context, { run: runCommand, busybox })).images).toEqual(first.images);
  });
});
