import { setTimeout as delay } from "node:timers/promises";
import { isKind } from "../lib/app-error.ts";
import type { Channel } from "./channel.ts";
import type { Lease } from "./datastore.ts";
import {
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  LeaseRevokeRequest,
  LeaseRevokeResponse,
} from "./gen/etcd.ts";

/** A third of the life leaves room for two lost renewals. */
const renewalsPerLife = 3;
/** After a failed renewal. */
const retryMs = 500;

export async function keepLease(channel: Channel, ttlSeconds: number, signal: AbortSignal): Promise<Lease> {
  const grant = await channel.unary(
    "take a lease in",
    "/etcdserverpb.Lease/LeaseGrant",
    LeaseGrantRequest,
    LeaseGrantResponse,
    { ttl: ttlSeconds, id: 0n },
    { signal },
  );
  const { id, ttl } = grant;
  const lost = new AbortController();
  const over = new AbortController();
  const stop = AbortSignal.any([signal, over.signal]);
  const renewing = renewUntil(channel, id, ttl, stop, lost);
  return {
    id,
    ttlSeconds: ttl,
    lost: lost.signal,
    async [Symbol.asyncDispose]() {
      over.abort();
      await renewing;
      if (lost.signal.aborted || signal.aborted) return;
      await revoke(channel, id);
    },
  };
}

/** Ends with the signal, or when the lease is known or must be assumed to have ended. */
async function renewUntil(
  channel: Channel,
  id: bigint,
  ttl: number,
  stop: AbortSignal,
  lost: AbortController,
): Promise<void> {
  let renewedAt = performance.now();
  let waitMs = (ttl * 1000) / renewalsPerLife;
  for (;;) {
    // The signal ends the pause early, and with it the renewals.
    await delay(waitMs, undefined, { signal: stop, ref: false }).catch(() => {});
    if (stop.aborted) return;
    const sentAt = performance.now();
    const lifeLeftMs = renewedAt + ttl * 1000 - sentAt;
    const renewed = lifeLeftMs > 0 ? await renew(channel, id, lifeLeftMs, stop) : 0;
    if (stop.aborted) return;
    if (renewed === 0) {
      lost.abort();
      return;
    }
    if (renewed !== undefined) renewedAt = sentAt;
    waitMs = renewed === undefined ? Math.min(retryMs, lifeLeftMs) : (ttl * 1000) / renewalsPerLife;
  }
}

/** The new life in seconds; 0: the lease is gone; undefined: no answer. */
function renew(channel: Channel, id: bigint, timeoutMs: number, stop: AbortSignal): Promise<number | undefined> {
  return new Promise((resolve) => {
    const stream = channel.duplex("/etcdserverpb.Lease/LeaseKeepAlive", LeaseKeepAliveRequest, LeaseKeepAliveResponse);
    const settle = (ttl: number | undefined) => {
      clearTimeout(timer);
      stop.removeEventListener("abort", cancel);
      stream.cancel();
      resolve(ttl);
    };
    const cancel = () => settle(undefined);
    const timer = setTimeout(cancel, timeoutMs);
    stop.addEventListener("abort", cancel, { once: true });
    stream.on("error", cancel);
    stream.on("end", cancel);
    stream.on("data", (answer: LeaseKeepAliveResponse) => settle(answer.ttl));
    stream.write({ id });
  });
}

async function revoke(channel: Channel, id: bigint): Promise<void> {
  try {
    await channel.unary(
      "give up a lease in",
      "/etcdserverpb.Lease/LeaseRevoke",
      LeaseRevokeRequest,
      LeaseRevokeResponse,
      { id },
    );
  } catch (error) {
    if (!isKind(error, "not-found")) throw error;
  }
}
