import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createBackends } from "../../../src/apiserver-proxy/backends.ts";
import type { Endpoint } from "../../../src/apiserver-proxy/endpoints-file.ts";

const times = { checkMs: 10_000, firstRetryMs: 500, mostRetryMs: 15_000, graceMs: 60_000 };
const endpoint = (host: string): Endpoint => ({ host, port: 6443, text: `${host}:6443` });
const [one, two] = [endpoint("10.0.0.1"), endpoint("10.0.0.2")];

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("the API servers that a worker's proxy knows", () => {
  test.each(["an answer", "silence"])(
    "one that left the set is gone after its grace, with %s on a look that was under way then",
    async (outcome) => {
      const looks: PromiseWithResolvers<void>[] = [];
      const probe = ({ host }: Endpoint) => {
        if (host === two.host) return Promise.resolve();
        const look = Promise.withResolvers<void>();
        looks.push(look);
        return look.promise;
      };
      const backends = createBackends(times, { log: pino({ level: "silent" }), probe });
      backends.set([one, two]);
      await vi.advanceTimersByTimeAsync(1);
      const close = vi.fn();
      backends
        .all()
        .find((backend) => backend.endpoint === one)
        ?.relays.add({ close });
      backends.set([two]);
      if (outcome === "silence") looks[0]?.reject(new Error("silent"));
      else looks[0]?.resolve();
      await vi.advanceTimersByTimeAsync(times.graceMs - 1_000);
      expect(close).not.toHaveBeenCalled();
      await vi.advanceTimersByTimeAsync(2_000);
      expect(backends.all().map((backend) => backend.endpoint)).toEqual([two]);
      expect(close).toHaveBeenCalledOnce();
      backends.stop();
    },
  );

  test.each([
    ["an hour", 3_600_000],
    ["a year", 365 * 86_400_000],
  ])("are looked at as often as before when the clock is set back by %s", async (_how, backMs) => {
    const probe = vi.fn(async () => {});
    const backends = createBackends(times, { log: pino({ level: "silent" }), probe });
    backends.set([one]);
    await vi.advanceTimersByTimeAsync(times.checkMs + 1);
    expect(probe).toHaveBeenCalledTimes(2);
    vi.setSystemTime(Date.now() - backMs);
    await vi.advanceTimersByTimeAsync(3 * times.checkMs);
    expect(probe).toHaveBeenCalledTimes(5);
    backends.stop();
  });
});
