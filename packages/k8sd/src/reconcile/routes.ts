import { isIPv6 } from "node:net";
import type { KnownMember } from "../cluster/roster.ts";
import { routeProtocol } from "../components/network/route-protocol.ts";
import type { Host } from "../host/host.ts";
import { AppError, errorText } from "../lib/app-error.ts";
import type { Reconciler } from "./loop.ts";

/** A pod that starts on a new node takes longer than this. */
const periodMs = 2_000;

interface Route {
  readonly family: "-4" | "-6";
  /** Part of the pod range. */
  readonly to: string;
  /** Address of the node that has it. */
  readonly via: string;
}

/** Which routes lead from this node to the pods of the others. */
export function wantedRoutes(selfId: string, members: readonly KnownMember[]): readonly Route[] {
  return members
    .filter(({ id, state }) => id !== selfId && state === "active")
    .flatMap(({ podCidrs, addresses }) =>
      podCidrs.flatMap((to): Route[] => {
        const v6 = to.includes(":");
        const via = addresses.find((address) => isIPv6(address) === v6);
        return via === undefined ? [] : [{ family: v6 ? "-6" : "-4", to, via }];
      }),
    );
}

/** Pods across nodes: each node's part of the pod range is routed to its address. Nodes share a network for this. */
export function createRoutes(
  selfId: string,
  deps: { readonly run: Host["run"]; readonly members: () => readonly KnownMember[] },
): Reconciler {
  const ip = (signal: AbortSignal, ...argv: string[]) => deps.run(["ip", ...argv], { signal });

  async function present(family: Route["family"], signal: AbortSignal): Promise<readonly Route[]> {
    const { stdout } = await ip(signal, family, "route", "show", "proto", routeProtocol);
    return stdout.split("\n").flatMap((line): Route[] => {
      const [, to, via] = /^(\S+) via (\S+)/.exec(line) ?? [];
      return to === undefined || via === undefined ? [] : [{ family, to, via }];
    });
  }

  return {
    name: "routes",
    reconcile: async (signal) => {
      const members = deps.members();
      // Nothing is known yet, which is not the same as nobody being there.
      if (members.length === 0) return periodMs;
      const wanted = wantedRoutes(selfId, members);
      const families = new Set(
        members.flatMap(({ podCidrs }) => podCidrs.map((cidr) => (cidr.includes(":") ? "-6" : "-4"))),
      );
      const failed: string[] = [];
      // One node in another network must not keep those beside it from each other.
      const attempt = async (route: string, work: Promise<unknown>): Promise<void> => {
        await work.catch((error: unknown) => {
          signal.throwIfAborted();
          failed.push(`${route}: ${errorText(error)}`);
        });
      };
      for (const family of families) {
        const actual = await present(family, signal);
        const mine = wanted.filter((route) => route.family === family);
        for (const { to, via } of mine) {
          if (actual.some((route) => sameRange(route.to, to) && route.via === via)) continue;
          const replaced = ip(signal, family, "route", "replace", to, "via", via, "proto", routeProtocol);
          await attempt(`${to} via ${via}`, replaced);
        }
        for (const { to } of actual.filter((route) => !mine.some((other) => sameRange(other.to, route.to)))) {
          await attempt(to, ip(signal, family, "route", "del", to, "proto", routeProtocol));
        }
      }
      if (failed.length > 0) {
        throw new AppError("unavailable", `cannot route to the Pods of other nodes: ${failed.join("; ")}`, {
          remedy: "Nodes have to be in one network for this; see which of them is not.",
        });
      }
      return periodMs;
    },
  };
}

/** `ip` leaves the length out where it is the whole address. */
function sameRange(shown: string, wanted: string): boolean {
  return shown === wanted || wanted === `${shown}/32` || wanted === `${shown}/128`;
}
