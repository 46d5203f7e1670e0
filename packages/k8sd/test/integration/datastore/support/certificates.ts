import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface TestPki {
  readonly files: { readonly ca: string; readonly cert: string; readonly key: string };
  readonly client: { readonly ca: Buffer; readonly cert: Buffer; readonly key: Buffer };
  readonly clientFiles: { readonly cert: string; readonly key: string };
}

/** A CA, a server certificate for loopback and a client certificate, by openssl. @param clients names of further ones, each in files of its name */
export function makeTestPki(dir: string, clients: readonly string[] = []): TestPki {
  mkdirSync(dir, { recursive: true });
  const at = (name: string) => join(dir, name);
  const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: dir, stdio: "pipe" });
  const key = (name: string) => [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-keyout",
    `${name}.key`,
  ];
  openssl("req", "-x509", ...key("ca"), "-out", "ca.crt", "-days", "2", "-subj", "/CN=test-ca");
  const issue = (name: string, extensions: string) => {
    openssl("req", ...key(name), "-out", `${name}.csr`, "-subj", `/CN=${name}`);
    writeFileSync(at(`${name}.ext`), extensions);
    const ca = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"];
    openssl(
      "x509",
      "-req",
      "-in",
      `${name}.csr`,
      ...ca,
      "-days",
      "2",
      "-extfile",
      `${name}.ext`,
      "-out",
      `${name}.crt`,
    );
  };
  issue("server", "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n");
  for (const name of ["client", ...clients]) issue(name, "extendedKeyUsage=clientAuth\n");
  return {
    files: { ca: at("ca.crt"), cert: at("server.crt"), key: at("server.key") },
    client: {
      ca: readFileSync(at("ca.crt")),
      cert: readFileSync(at("client.crt")),
      key: readFileSync(at("client.key")),
    },
    clientFiles: { cert: at("client.crt"), key: at("client.key") },
  };
}
