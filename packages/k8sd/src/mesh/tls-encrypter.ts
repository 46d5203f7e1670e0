import type { X509Certificate } from "node:crypto";
import { Duplex } from "node:stream";
import { connect, createSecureContext, TLSSocket } from "node:tls";
import { publicKeyFromRaw } from "@libp2p/crypto/keys";
import {
  type ConnectionEncrypter,
  InvalidCryptoExchangeError,
  type MessageStream,
  type PeerId,
  type SecureConnectionOptions,
  type SecuredConnection,
  type StreamMuxerFactory,
  UnexpectedPeerError,
} from "@libp2p/interface";
import { peerIdFromPublicKey } from "@libp2p/peer-id";
import { orAborted } from "../lib/wait.ts";
import { TlsStream } from "./tls-stream.ts";

/** In which a node shows the key that its peer id is made of. PEM. */
export interface MeshCertificate {
  readonly certificate: string;
  readonly key: string;
}

export interface MeshTlsDeps {
  now(): number;
  /** Of the connections that come out of it: all nodes have the same, so nothing is left to be agreed on. */
  streamMuxer(): StreamMuxerFactory | undefined;
}

/**
 * TLS 1.3 where each side shows its key itself. libp2p's own hides the key in an extension of a throw-away certificate, and
 * needs for that a library of certificates that is larger than all else of the mesh.
 */
export function meshTls(own: MeshCertificate, deps: MeshTlsDeps): ConnectionEncrypter {
  const { certificate: cert, key } = own;
  const options = {
    // Made once: to read the key again is a good part of what a connection costs.
    secureContext: createSecureContext({ cert, key, minVersion: "TLSv1.3", maxVersion: "TLSv1.3" }),
    // No authority says who this is: the key does, and the handshake proves that the other side has it.
    rejectUnauthorized: false,
  } as const;

  async function secure(
    connection: MessageStream,
    { remotePeer, signal, skipStreamMuxerNegotiation = false }: SecureConnectionOptions,
    open: (duplex: Duplex) => TLSSocket,
  ): Promise<SecuredConnection> {
    const duplex = duplexOf(connection);
    const socket = open(duplex);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    duplex.on("error", (error) => socket.destroy(error));
    socket.on("error", reject);
    socket.once("close", () => reject(new InvalidCryptoExchangeError("it hung up during the handshake")));
    socket.once("secure", resolve);
    try {
      await (signal === undefined ? promise : orAborted(promise, signal));
      const peer = peerOf(socket.getPeerX509Certificate(), deps.now());
      if (remotePeer?.equals(peer) === false) throw new UnexpectedPeerError(`another peer answers there: ${peer}`);
      const secured = { connection: new TlsStream(connection, socket), remotePeer: peer };
      const streamMuxer = skipStreamMuxerNegotiation ? undefined : deps.streamMuxer();
      return streamMuxer === undefined ? secured : { ...secured, streamMuxer };
    } catch (error) {
      socket.destroy();
      connection.abort(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
  }

  return {
    protocol: "/k8sd/tls/1",
    secureInbound: (connection, limits = {}) =>
      secure(connection, limits, (duplex) => new TLSSocket(duplex, { ...options, isServer: true, requestCert: true })),
    secureOutbound: (connection, limits = {}) =>
      secure(connection, limits, (duplex) => connect({ ...options, socket: duplex })),
  };
}

/** Who shows this certificate. What else is in it is nobody's word. */
function peerOf(certificate: X509Certificate | undefined, now: number): PeerId {
  if (certificate === undefined) throw new InvalidCryptoExchangeError("it shows no certificate");
  if (certificate.validFromDate.getTime() > now)
    throw new InvalidCryptoExchangeError("its certificate is not valid yet");
  if (certificate.validToDate.getTime() < now) throw new InvalidCryptoExchangeError("its certificate has expired");
  const { publicKey } = certificate;
  if (publicKey.asymmetricKeyType !== "ed25519")
    throw new InvalidCryptoExchangeError("its key is of another kind than those of the mesh");
  const raw = Buffer.from(publicKey.export({ format: "jwk" }).x ?? "", "base64url");
  return peerIdFromPublicKey(publicKeyFromRaw(raw));
}

/** The connection below as what TLS of Node.js reads and writes. */
function duplexOf(stream: MessageStream): Duplex {
  const duplex = new Duplex({
    read: () => {
      if (stream.status === "open") stream.resume();
    },
    write: (chunk: Uint8Array, _encoding, done) => {
      try {
        if (stream.send(chunk)) done();
        else stream.onDrain().then(() => done(), done);
      } catch (error) {
        // It is closed already.
        done(error instanceof Error ? error : new Error(String(error)));
      }
    },
    final: (done) => {
      stream.close().then(() => done(), done);
    },
  });
  stream.pause();
  stream.addEventListener("message", ({ data }) => {
    const chunks = data instanceof Uint8Array ? [data] : [...data];
    const wanted = chunks.map((chunk) => duplex.push(chunk)).at(-1);
    if (wanted === false && stream.status === "open") stream.pause();
  });
  stream.addEventListener("close", ({ error }) => {
    duplex.destroy(error);
  });
  return duplex;
}
