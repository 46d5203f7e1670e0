import { createHash } from "node:crypto";
import { type GossipSub, gossipsub, StrictNoSign, TopicValidatorResult } from "@libp2p/gossipsub";
import { identify } from "@libp2p/identify";
import type { Connection, Libp2p, Stream } from "@libp2p/interface";
import { peerIdFromString } from "@libp2p/peer-id";
import { tcp } from "@libp2p/tcp";
import { yamux } from "@libp2p/yamux";
import { createLibp2p } from "libp2p";
import { limits } from "./codec.ts";
import { createUnframer, frame } from "./frames.ts";
import type { MeshIdentity } from "./identity.ts";
import { listenMultiaddr, type Resolve, resolveAddresses } from "./multiaddrs.ts";
import { classify, type DialPhase, type Problem } from "./reachability.ts";
import { type MeshCertificate, meshTls } from "./tls-encrypter.ts";
import type { Transport, TransportDeps } from "./transport.ts";

export interface Libp2pOptions {
  /** IP addresses to listen on; a wildcard is not needed where the node's own are known. */
  readonly hosts: readonly string[];
  /** 0 in tests. */
  readonly port: number;
  /** The network that the peers have in common: nodes of two clusters on one machine never mix. */
  readonly clusterId: string;
}

export interface Libp2pDeps extends TransportDeps {
  readonly identity: MeshIdentity;
  /** Of that identity's key. */
  readonly certificate: MeshCertificate;
  readonly resolve: Resolve;
  now(): number;
}

/** All waits of this transport are bounded by one of these, in milliseconds. */
const deadlines = { connect: 4_000, addressDial: 1_500, upgrade: 3_000, stop: 3_000 } as const;
const protocol = "/k8sd/mesh/1";
/** In time a node talks to all others; above this the least used connections are closed and opened again when needed. */
const maxConnections = 400;
/** The other side opens one stream; a second one replaces it when it was lost unnoticed. */
const maxStreams = 4;
/** After a failed attempt messages are dropped this long, doubling up to the second number. */
const backoffMs = [200, 5_000] as const;
/** Messages that wait while a connection is made: a handful of probes and rumours. Older ones are worthless. */
const maxWaiting = 32;

interface Peer {
  stream: Stream | undefined;
  opening: Promise<void> | undefined;
  waiting: Uint8Array[];
  failures: number;
  retryAt: number;
  problem: Problem | undefined;
}

export async function createLibp2pTransport(options: Libp2pOptions, deps: Libp2pDeps): Promise<Transport> {
  const topic = `k8sd/ledger/${options.clusterId}`;
  const peers = new Map<string, Peer>();
  const connected = new Set<string>();
  const stopping = new AbortController();
  const denied = (peerId: { toString(): string }): boolean => !deps.admitted(peerId.toString());

  const node: Libp2p<{ pubsub: GossipSub }> = await createLibp2p({
    privateKey: deps.identity.privateKey,
    addresses: { listen: options.hosts.map((host) => listenMultiaddr(host, options.port)) },
    transports: [tcp()],
    connectionEncrypters: [
      (components) =>
        meshTls(deps.certificate, {
          now: deps.now,
          // It is not there yet when this is called.
          streamMuxer: () => components.upgrader.getStreamMuxers().values().next().value,
        }),
    ],
    streamMuxers: [yamux({ enableKeepAlive: false })],
    connectionGater: {
      denyDialPeer: denied,
      denyInboundEncryptedConnection: denied,
      denyOutboundEncryptedConnection: denied,
    },
    // Liveness is the detector's; a second opinion that closes connections would only disturb it.
    connectionMonitor: { enabled: false },
    connectionManager: {
      maxConnections,
      maxParallelDials: 32,
      dialTimeout: deadlines.connect,
      addressDialTimeout: deadlines.addressDial,
      inboundUpgradeTimeout: deadlines.upgrade,
      outboundStreamProtocolNegotiationTimeout: deadlines.upgrade,
      inboundStreamProtocolNegotiationTimeout: deadlines.upgrade,
      // Per second and host: many nodes may share an address (tests, NAT) and all come back at once.
      inboundConnectionThreshold: 64,
      maxIncomingPendingConnections: 64,
      reconnectRetries: 0,
    },
    services: {
      identify: identify({ runOnConnectionOpen: true, maxMessageSize: 8 * 1024 }),
      pubsub: gossipsub({
        allowedTopics: [topic],
        allowPublishToZeroTopicPeers: true,
        ignoreDuplicatePublishError: true,
        emitSelf: false,
        doPX: false,
        floodPublish: false,
        // Each copy more costs every node a message for each change; pushes and probes bring what these miss.
        D: 4,
        Dlo: 3,
        Dhi: 6,
        Dout: 1,
        // The message carries its author's signature itself, because it also travels outside of this.
        globalSignaturePolicy: StrictNoSign,
        msgIdFn: (message) => createHash("sha256").update(message.data).digest(),
        maxInboundDataLength: limits.messageBytes,
        maxOutboundBufferSize: 4 * limits.messageBytes,
        maxInboundStreams: 2,
        maxOutboundStreams: 2,
        decodeRpcLimits: {
          maxSubscriptions: 2,
          maxMessages: 64,
          maxIhaveMessageIDs: 256,
          maxIwantMessageIDs: 256,
          maxIdontwantMessageIDs: 256,
          maxControlMessages: 64,
          maxPeerInfos: 0,
        },
      }),
    },
  });

  function peerOf(id: string): Peer {
    const known = peers.get(id);
    if (known !== undefined) return known;
    const peer: Peer = {
      stream: undefined,
      opening: undefined,
      waiting: [],
      failures: 0,
      retryAt: 0,
      problem: undefined,
    };
    peers.set(id, peer);
    return peer;
  }

  async function openStream(id: string, signal: AbortSignal): Promise<Stream> {
    let phase: DialPhase = "resolve";
    try {
      const peerId = peerIdFromString(id);
      let [connection]: (Connection | undefined)[] = node.getConnections(peerId).filter((c) => c.status === "open");
      if (connection === undefined) {
        const addresses = await resolveAddresses(deps.addressesOf(id), id, deps.resolve, signal);
        phase = "dial";
        connection = await node.dial(addresses, { signal });
      }
      phase = "stream";
      return await connection.newStream(protocol, { signal, maxOutboundStreams: maxStreams });
    } catch (error) {
      const peer = peerOf(id);
      peer.problem = { ...classify(phase, error), at: deps.now() };
      throw error;
    }
  }

  async function open(id: string, peer: Peer): Promise<void> {
    const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(deadlines.connect)]);
    try {
      const stream = await openStream(id, signal);
      stream.addEventListener("close", () => {
        if (peer.stream === stream) peer.stream = undefined;
      });
      peer.stream = stream;
      peer.problem = undefined;
      peer.failures = 0;
      for (const message of peer.waiting.splice(0)) write(peer, message);
    } catch {
      // openStream has recorded why; the messages are lost like on any network.
      peer.waiting = [];
      peer.retryAt = deps.now() + Math.min(backoffMs[0] * 2 ** peer.failures++, backoffMs[1]);
    } finally {
      peer.opening = undefined;
    }
  }

  function write(peer: Peer, message: Uint8Array): void {
    const { stream } = peer;
    // A peer that does not read gets nothing more until it does: late messages mislead.
    if (stream === undefined || stream.status !== "open" || stream.writableNeedsDrain) return;
    stream.send(frame(message));
  }

  async function onStream(stream: Stream, connection: Connection): Promise<void> {
    const from = connection.remotePeer.toString();
    const unframe = createUnframer(limits.messageBytes, (message) => deps.onMessage(from, message));
    try {
      for await (const chunk of stream) {
        if (!unframe(chunk.subarray())) throw new Error("message too long");
      }
      await stream.close({ signal: AbortSignal.timeout(deadlines.stop) });
    } catch (error) {
      stream.abort(error instanceof Error ? error : new Error(String(error)));
    }
  }

  await node.handle(protocol, onStream, { maxInboundStreams: maxStreams, maxOutboundStreams: maxStreams });
  const { pubsub } = node.services;
  pubsub.topicValidators.set(topic, (from, { data }) => {
    if (!deps.acceptsBroadcast(data)) return TopicValidatorResult.Reject;
    deps.onMessage(from.toString(), data);
    return TopicValidatorResult.Accept;
  });
  pubsub.subscribe(topic);
  node.addEventListener("peer:connect", ({ detail }) => connected.add(detail.toString()));
  node.addEventListener("peer:disconnect", ({ detail }) => {
    connected.delete(detail.toString());
    if (!stopping.signal.aborted) deps.onDisconnect(detail.toString());
  });

  return {
    send: (id, message) => {
      if (stopping.signal.aborted || !deps.admitted(id)) return;
      const peer = peerOf(id);
      if (peer.stream?.status === "open") {
        write(peer, message);
        return;
      }
      if (deps.now() < peer.retryAt) return;
      if (peer.waiting.length < maxWaiting) peer.waiting.push(Uint8Array.from(message));
      peer.opening ??= open(id, peer);
    },
    broadcast: (message) => {
      pubsub.publish(topic, message).catch((error: unknown) => {
        // Pushes and pulls of the replica do not depend on it.
        if (!stopping.signal.aborted) node.logger.forComponent("k8sd:mesh").error("cannot broadcast - %e", error);
      });
    },
    connected: (id) => connected.has(id),
    problem: (id) => peers.get(id)?.problem,
    diagnose: async (id, signal) => {
      const peer = peerOf(id);
      try {
        const stream = await openStream(id, AbortSignal.any([signal, stopping.signal]));
        await stream.close({ signal });
        peer.problem = undefined;
        peer.retryAt = 0;
      } catch {
        // openStream has recorded why.
      }
      return peer.problem;
    },
    reset: (id) => {
      const peer = peerOf(id);
      peer.stream = undefined;
      peer.retryAt = 0;
      for (const connection of node.getConnections(peerIdFromString(id)))
        connection.abort(new Error("it does not answer"));
    },
    recheck: async () => {
      for (const id of peers.keys()) if (!deps.admitted(id)) peers.delete(id);
      const strangers = node.getConnections().filter(({ remotePeer }) => denied(remotePeer));
      const signal = AbortSignal.timeout(deadlines.stop);
      await Promise.all(
        strangers.map((connection) =>
          connection.close({ signal }).catch((error: unknown) => connection.abort(error as Error)),
        ),
      );
    },
    get port() {
      const [address] = node.getMultiaddrs();
      return Number(address?.toString().match(/\/tcp\/(\d+)/)?.[1] ?? 0);
    },
    stop: async () => {
      stopping.abort(new Error("the mesh stops"));
      await node.stop();
    },
  };
}
