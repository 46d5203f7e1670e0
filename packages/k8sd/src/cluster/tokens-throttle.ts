import { parseIp } from "./config/cidr.ts";

export interface ThrottleOptions {
  /** Wrong secrets that one source may present at once. */
  readonly burst: number;
  /** After this time it may try one more. */
  readonly refillMs: number;
  /** Sources that are remembered; the one that was seen the longest ago is forgotten first. */
  readonly maxSources: number;
}

/** Secrets have 160 bits or more, so this saves the datastore from work, not the secret from being guessed. */
export const defaultThrottle: ThrottleOptions = { burst: 10, refillMs: 6_000, maxSources: 4_096 };

/** Slows down who presents wrong secrets, by source address. */
export interface Throttle {
  /** Milliseconds that this source has to wait; 0: it may try. */
  wait(source: string): number;
  failed(source: string): void;
}

interface Debt {
  /** Wrong secrets that are not forgiven yet. */
  readonly level: number;
  readonly at: number;
}

/** @param now milliseconds that never jump */
export function createThrottle(options: ThrottleOptions, now: () => number): Throttle {
  const debts = new Map<string, Debt>();
  const levelOf = (source: string): number => {
    const debt = debts.get(source);
    if (debt === undefined) return 0;
    return Math.max(0, debt.level - (now() - debt.at) / options.refillMs);
  };
  return {
    wait: (source) => {
      const over = levelOf(keyOf(source)) - (options.burst - 1);
      return over <= 0 ? 0 : Math.ceil(over * options.refillMs);
    },
    failed: (source) => {
      const key = keyOf(source);
      const level = Math.min(levelOf(key) + 1, options.burst);
      debts.delete(key);
      debts.set(key, { level, at: now() });
      const [oldest] = debts.keys();
      if (debts.size > options.maxSources && oldest !== undefined) debts.delete(oldest);
    },
  };
}

/** One machine has a whole /64 of IPv6 to call from. */
function keyOf(source: string): string {
  const ip = parseIp(source.replace(/^::ffff:(?=\d+\.)/i, "").replace(/%.*$/, ""));
  if (ip === undefined) return source.slice(0, 64);
  return ip.family === 4 ? `4:${ip.value}` : `6:${ip.value >> 64n}`;
}
