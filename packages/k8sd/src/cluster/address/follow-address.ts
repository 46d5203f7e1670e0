import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import type { Host } from "../../host/host.ts";
import { byItself } from "../audited.ts";
import type { Self } from "../recover/copies.ts";
import type { SetAddress } from "./address.ts";
import { newAddress } from "./prepare.ts";

export interface FollowAddressDeps {
  readonly host: Pick<Host, "interfaces" | "run" | "hostname">;
  /** The member that this node is; undefined before there is one. */
  readonly member: () => Self | undefined;
  readonly start: SetAddress["start"];
  readonly log: Logger;
}

const timeoutMs = 600_000;
/** The network may still be coming up: an address that is late is not gone. */
const looks = { certain: 5, uncertain: 60 };

export type AddressLook = "has it" | "waiting" | "moved";

/** After a start: a node whose address is gone takes the one that it has now. */
export function createFollowAddress(deps: FollowAddressDeps) {
  let seen: { readonly address: string; readonly times: number } | undefined;

  async function take(address: string, self: Self, why: string): Promise<AddressLook> {
    const { addresses, hostname } = self.view.view;
    deps.log.warn({ from: { addresses, hostname }, to: { address, hostname: deps.host.hostname } }, why);
    seen = undefined;
    await deps.start(address, randomUUID(), timeoutMs, byItself)?.result;
    return "moved";
  }

  return async (signal: AbortSignal): Promise<AddressLook> => {
    const self = deps.member();
    if (self === undefined) return "has it";
    const routes = await defaultRoutes(deps.host, signal);
    const found = newAddress(self.view, deps.host.interfaces(), routes);
    if (found !== undefined) {
      seen = { address: found.address, times: seen?.address === found.address ? seen.times + 1 : 1 };
      if (seen.times < (found.certain ? looks.certain : looks.uncertain)) return "waiting";
      return take(found.address, self, "An address of this node is gone; it takes what it has");
    }
    seen = undefined;
    const [own = ""] = self.view.view.addresses;
    if (!isPresent(deps.host, own)) return "waiting";
    if (self.view.view.hostname === deps.host.hostname) return "has it";
    return take(own, self, "The host has another name; the node keeps its own");
  };
}

function isPresent(host: Pick<Host, "interfaces">, address: string): boolean {
  return host.interfaces().some((nic) => nic.addresses.some((each) => each.address === address));
}

async function defaultRoutes(host: Pick<Host, "run">, signal: AbortSignal): Promise<readonly string[]> {
  const families = await Promise.all(
    ["-4", "-6"].map((family) =>
      host.run(["ip", family, "route", "show", "default"], { signal, okExitCodes: [1, 2, 255] }),
    ),
  );
  return families.flatMap(({ stdout }) => [...stdout.matchAll(/ dev (\S+)/g)].map(([, name = ""]) => name));
}
