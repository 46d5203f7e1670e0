import type { Logger } from "pino";
import { errorCode, errorText } from "../lib/app-error.ts";
import type { Endpoint } from "./endpoints-file.ts";
import type { Relay } from "./relay.ts";

export interface Backend {
  endpoint: Endpoint;
  readonly relays: Set<Relay>;
  /** Looks that failed since the last success; 0: it is live as far as is known. */
  failures: number;
  /** In time that never jumps: a clock that is set back must not end the looks. */
  lastContactAt: number;
  timer: NodeJS.Timeout | undefined;
  looking: boolean;
  /** False once it left the set; its connections may live on for the grace time. */
  wanted: boolean;
}

export interface BackendTimes {
  /** A live one that nobody talked to for so long is looked at. */
  readonly checkMs: number;
  /** A dead one is looked at after this, then twice as long each time, up to the most. */
  readonly firstRetryMs: number;
  readonly mostRetryMs: number;
  /** How long connections to one that left the set may go on. */
  readonly graceMs: number;
}

export interface BackendsDeps {
  readonly log: Logger;
  /** Connects and closes again; rejects when that fails. */
  probe(endpoint: Endpoint): Promise<void>;
}

/** Silence, not refusal, for as many looks: the machine is gone, and what is open to it hangs until someone cuts it. */
const silentLooks = 3;

/** The API servers and what is known of them. Everything here is memory of attempts; none of it is waited for. */
export function createBackends(times: BackendTimes, deps: BackendsDeps) {
  const { log } = deps;
  const backends = new Map<string, Backend>();
  let turn = 0;
  let stopped = false;

  const wanted = (): Backend[] => [...backends.values()].filter((backend) => backend.wanted);

  function schedule(backend: Backend, delayMs: number): void {
    // The timer of one that left the set ends its grace.
    if (!backend.wanted || stopped) return;
    clearTimeout(backend.timer);
    backend.timer = setTimeout(() => void look(backend), delayMs).unref();
  }

  async function look(backend: Backend): Promise<void> {
    const quietMs = performance.now() - backend.lastContactAt;
    if (backend.failures === 0 && quietMs < times.checkMs) return schedule(backend, times.checkMs - quietMs);
    if (backend.looking) return;
    backend.looking = true;
    try {
      await deps.probe(backend.endpoint);
      succeeded(backend);
    } catch (error) {
      noteFailure(backend, error);
    } finally {
      backend.looking = false;
    }
  }

  function succeeded(backend: Backend): void {
    if (backend.failures > 0) log.info({ backend: backend.endpoint.text }, "API server answers again");
    backend.failures = 0;
    backend.lastContactAt = performance.now();
    schedule(backend, times.checkMs);
  }

  function noteFailure(backend: Backend, error: unknown): void {
    backend.failures += 1;
    if (backend.failures === 1) {
      log.warn({ backend: backend.endpoint.text, reason: errorText(error) }, "API server does not answer");
    }
    if (backend.failures >= silentLooks && isSilence(error)) cutOff(backend);
    schedule(backend, Math.min(times.firstRetryMs * 2 ** (backend.failures - 1), times.mostRetryMs));
  }

  /** Only when there is a better place to go: the owners of the connections dial again and get there. */
  function cutOff(backend: Backend): void {
    if (backend.relays.size === 0 || !wanted().some(({ failures }) => failures === 0)) return;
    log.warn(
      { backend: backend.endpoint.text, connections: backend.relays.size },
      "Cut connections to a silent API server",
    );
    closeAll(backend);
  }

  function closeAll(backend: Backend): void {
    for (const { close } of backend.relays) close();
  }

  function drop(backend: Backend): void {
    backend.wanted = false;
    clearTimeout(backend.timer);
    backend.timer = setTimeout(() => {
      backends.delete(backend.endpoint.text);
      closeAll(backend);
    }, times.graceMs).unref();
  }

  function add(endpoint: Endpoint): void {
    const known = backends.get(endpoint.text);
    if (known?.wanted) {
      const hint = endpoint.away === true && known.endpoint.away !== true;
      known.endpoint = endpoint;
      if (hint) suspect(known);
      return;
    }
    const backend = known ?? {
      endpoint,
      relays: new Set(),
      failures: 0,
      lastContactAt: Number.NEGATIVE_INFINITY,
      timer: undefined,
      looking: false,
      wanted: true,
    };
    backend.wanted = true;
    backend.endpoint = endpoint;
    backends.set(endpoint.text, backend);
    schedule(backend, 0);
  }

  /** It said nothing while another one answered, or others say that it does not. */
  function suspect(backend: Backend): void {
    if (backend.failures > 0 || backend.looking) return;
    backend.lastContactAt = Number.NEGATIVE_INFINITY;
    schedule(backend, 0);
  }

  return {
    /** Takes the new set; connections to what stays in it do not notice. */
    set(endpoints: readonly Endpoint[]): void {
      const texts = new Set(endpoints.map(({ text }) => text));
      for (const backend of wanted()) if (!texts.has(backend.endpoint.text)) drop(backend);
      endpoints.forEach(add);
    },
    /**
     * Live ones first, those with fewer connections before others, equals in turn; then those whose nodes are said to be
     * away; dead ones last, as a last try.
     */
    candidates(): readonly Backend[] {
      turn += 1;
      const all = wanted();
      const rotated = all.map((_, index) => all[(index + turn) % all.length] as Backend);
      const away = ({ endpoint }: Backend): number => (endpoint.away ? 1 : 0);
      const live = rotated
        .filter(({ failures }) => failures === 0)
        .sort((a, b) => away(a) - away(b) || a.relays.size - b.relays.size);
      const dead = rotated.filter(({ failures }) => failures > 0).sort((a, b) => a.failures - b.failures);
      return [...live, ...dead];
    },
    succeeded,
    /** A client's attempt failed. Only the first counts: many clients at one bad moment are one observation. */
    failed(backend: Backend, error: unknown): void {
      if (backend.failures === 0) noteFailure(backend, error);
    },
    suspect,
    all: (): readonly Backend[] => [...backends.values()],
    stop(): void {
      stopped = true;
      for (const backend of backends.values()) {
        clearTimeout(backend.timer);
        closeAll(backend);
      }
    },
  };
}

function isSilence(error: unknown): boolean {
  return ["ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN"].includes(String(errorCode(error)));
}
