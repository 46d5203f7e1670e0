import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { type TarEntry, writeTar } from "./tar.ts";

export interface ImageOptions {
  /** Full name with tag: `localhost/k8sd/web:1`. */
  readonly name: string;
  /** amd64 or arm64. */
  readonly architecture: string;
  readonly files: readonly TarEntry[];
  readonly entrypoint: readonly string[];
  readonly ports?: readonly number[];
}

export interface Image {
  /** The whole OCI archive, ready to be imported. */
  readonly archive: Buffer;
  /** Digest of the manifest: `sha256:…`. */
  readonly digest: string;
}

interface Blob {
  readonly digest: string;
  readonly content: Buffer;
}

/** Makes an image of one layer as an OCI archive. The same options always give the same bytes. */
export function makeImage(options: ImageOptions): Image {
  const layer = writeTar(options.files);
  // Level 6 and no file name or time in the header: gzip of the same zlib is the same.
  const packed = blob(gzipSync(layer, { level: 6 }));
  const config = jsonBlob({
    architecture: options.architecture,
    os: "linux",
    created: "1970-01-01T00:00:00Z",
    config: {
      Env: ["PATH=/bin"],
      Entrypoint: options.entrypoint,
      WorkingDir: "/",
      ...(options.ports === undefined
        ? {}
        : { ExposedPorts: Object.fromEntries(options.ports.map((port) => [`${port}/tcp`, {}])) }),
    },
    rootfs: { type: "layers", diff_ids: [sha256(layer)] },
    history: [{ created: "1970-01-01T00:00:00Z", created_by: "k8sd test/kubernetes" }],
  });
  const manifest = jsonBlob({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: descriptor("application/vnd.oci.image.config.v1+json", config),
    layers: [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", packed)],
  });
  const index = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [
      {
        ...descriptor("application/vnd.oci.image.manifest.v1+json", manifest),
        platform: { architecture: options.architecture, os: "linux" },
        annotations: {
          // containerd takes the whole name from here; other tools take the tag from the standard annotation.
          "io.containerd.image.name": options.name,
          "org.opencontainers.image.ref.name": options.name.slice(options.name.lastIndexOf(":") + 1),
        },
      },
    ],
  };
  const archive = writeTar([
    file("oci-layout", JSON.stringify({ imageLayoutVersion: "1.0.0" })),
    file("index.json", JSON.stringify(index)),
    { kind: "directory", path: "blobs", mode: 0o755 },
    { kind: "directory", path: "blobs/sha256", mode: 0o755 },
    ...[config, packed, manifest].map((each) => file(`blobs/sha256/${each.digest.slice(7)}`, each.content)),
  ]);
  return { archive, digest: manifest.digest };
}

function file(path: string, content: string | Buffer): TarEntry {
  return { kind: "file", path, mode: 0o644, content: Buffer.from(content) };
}

function descriptor(mediaType: string, of: Blob): { mediaType: string; digest: string; size: number } {
  return { mediaType, digest: of.digest, size: of.content.length };
}

function jsonBlob(value: unknown): Blob {
  return blob(Buffer.from(JSON.stringify(value)));
}

function blob(content: Buffer): Blob {
  return { digest: sha256(content), content };
}

function sha256(content: Uint8Array): string {
  return `sha256:${createHash("sha256").update(content).digest("hex")}`;
}
