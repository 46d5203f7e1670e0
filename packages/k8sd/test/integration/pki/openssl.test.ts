import { execFile } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeFileAtomic } from "../../../src/lib/write-file.ts";
import { type CertificateRow, certificateTable } from "../../../src/pki/certificate-table.ts";
import { completePki } from "../../../src/pki/complete.ts";
import { createCsr, parseCsr } from "../../../src/pki/csr.ts";
import { generateKey } from "../../../src/pki/keys.ts";
import { altNames } from "../../../src/pki/names.ts";

const run = promisify(execFile);
const openssl = async (...args: readonly string[]): Promise<string> => {
  const { stdout } = await run("openssl", [...args], { timeout: 10_000 });
  return stdout;
};

const node = {
  id: "0a1b2c3d-0000-8000-8000-000000000001",
  nodeName: "n1",
  hostName: "machine-1",
  addresses: ["10.0.0.5", "fd00::5"],
  serviceIps: ["10.152.183.1"],
  clusterDomain: "cluster.local",
  extraSans: [],
};
let directory = "";
let pki: ReturnType<typeof completePki>;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "k8sd-pki-"));
  pki = completePki({}, node, {
    role: "control-plane",
    datastore: "managed",
    createAuthorities: true,
    signingKeysOnDisk: true,
    paths: { pki: join(directory, "pki"), state: join(directory, "state") },
    now: new Date(),
  });
  for (const file of pki.files) await writeFileAtomic(file);
  for (const [name, pair] of Object.entries(pki.pairs))
    await writeFile(join(directory, `${name}.pem`), pair?.certificate ?? "");
  for (const name of ["ca", "client-ca", "front-proxy-ca", "etcd-ca"] as const)
    await writeFile(join(directory, `${name}.pem`), pki.cluster[`${name}-crt`] ?? "");
});

afterAll(() => rm(directory, { recursive: true, force: true }));

const rows = certificateTable.map((row): [string, CertificateRow] => [row.name, row]);
const signed = rows.filter(([, row]) => row.issuer !== "self");

function verify(row: CertificateRow, purpose: "sslserver" | "sslclient"): Promise<string> {
  const authority = row.issuer === "self" ? row.name : row.issuer;
  const pem = (name: string): string => join(directory, `${name}.pem`);
  return openssl("verify", "-x509_strict", "-purpose", purpose, "-CAfile", pem(authority), pem(row.name));
}

describe("openssl", () => {
  test.each(signed)("takes the certificate of %s for its purpose and for no other", async (_name, row) => {
    for (const [usage, purpose] of [
      ["server", "sslserver"],
      ["client", "sslclient"],
    ] as const) {
      if (row.usages.includes(usage)) expect(await verify(row, purpose)).toContain(": OK");
      else await expect(verify(row, purpose)).rejects.toThrow(/unsuitable certificate purpose/i);
    }
  });

  test.each(rows)("sees what the certificate of %s may do", async (name, row) => {
    const text = await openssl("x509", "-noout", "-text", "-in", join(directory, `${name}.pem`));
    expect(text).toMatch(/Version: 3/);
    expect(text).toMatch(/X509v3 Basic Constraints: critical\n\s+CA:FALSE/);
    expect(text).toMatch(/X509v3 Key Usage: critical\n\s+Digital Signature\n/);
    const words = { server: "TLS Web Server Authentication", client: "TLS Web Client Authentication" };
    const usages = row.usages.map((usage) => words[usage]).join(", ");
    expect(text).toContain(`X509v3 Extended Key Usage: \n                ${usages}\n`);
    expect(text).toMatch(/Subject Key Identifier/);
    expect(text).toMatch(/Authority Key Identifier/);
    expect(text).toContain("NIST CURVE: P-256");
    expect(text).not.toContain("(Negative)");
  });

  test.each(["ca", "client-ca", "front-proxy-ca", "etcd-ca"])(
    "sees that %s signs certificates and revocations",
    async (name) => {
      const text = await openssl("x509", "-noout", "-text", "-in", join(directory, `${name}.pem`));
      expect(text).toMatch(/X509v3 Basic Constraints: critical\n\s+CA:TRUE/);
      expect(text).toMatch(/X509v3 Key Usage: critical\n\s+Digital Signature, Certificate Sign, CRL Sign\n/);
      expect(text).not.toContain("Extended Key Usage");
    },
  );

  test("refuses a leaf under another authority", async () => {
    const pem = (name: string): string => join(directory, `${name}.pem`);
    await expect(openssl("verify", "-CAfile", pem("client-ca"), pem("apiserver"))).rejects.toThrow(
      /unable to get local issuer/,
    );
  });

  test("reads our requests, and we read its requests", async () => {
    const ours = join(directory, "ours.csr");
    await writeFile(
      ours,
      createCsr(
        { commonName: "system:node:n1", organization: "system:nodes" },
        altNames(["n1"], ["fd00::5"]),
        generateKey(),
      ),
    );
    const text = await openssl("req", "-in", ours, "-noout", "-verify", "-text");
    expect(text).toMatch(/Subject: O ?= ?system:nodes, CN ?= ?system:node:n1/);
    expect(text).toContain("DNS:n1, IP Address:FD00:0:0:0:0:0:0:5");
    const theirs = join(directory, "theirs.csr");
    await openssl(
      ...["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes"],
      ...["-keyout", join(directory, "theirs.key"), "-out", theirs, "-subj", "/O=system:nodes/CN=system:node:n2"],
      ...["-addext", "subjectAltName=DNS:n2,IP:10.0.0.6,email:a@example.com"],
    );
    expect(parseCsr(await readFile(theirs, "utf8"))).toMatchObject({
      commonName: "system:node:n2",
      organizations: ["system:nodes"],
      names: { dns: ["n2"], ip: ["10.0.0.6"] },
      otherNames: true,
    });
  });
});

test("what is on disk is a whole and matching set that root alone may read", async () => {
  for (const file of pki.files) {
    expect((await stat(file.path)).mode & 0o777).toBe(0o600);
    if (!file.path.endsWith(".crt")) continue;
    const key = await readFile(file.path.replace(/crt$/, "key")).catch(() => undefined);
    if (key === undefined) continue;
    expect(new X509Certificate(await readFile(file.path)).checkPrivateKey(createPrivateKey(key)), file.path).toBe(true);
  }
});
