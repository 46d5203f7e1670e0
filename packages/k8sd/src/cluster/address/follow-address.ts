import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import type { Host } from "../../host/host.ts";
import type { Self } from "../recover/copies.ts";
import type { SetAddress } from "./address.ts";
import { newAddress } from "./prepare.ts";

export interface FollowAddressDeps {
  readonly host: Pick<Host, "interfaces" | "run">;
  /** The member that this node is; undefined before there is one. */
  readonly member: () => Self | undefined;
  readonly start: SetAddress["start"];
  readonly log: Logger;
}

const timeoutMs = 600_000;
/** The network may still be coming up: an address that is late is not gone. */
const looks = 5;

export type AddressLook = "has it" | "waiting" | "moved";

/** After a start: a node whose address is gone takes the one that it has now. */
export function createFollowAddress(deps: FollowAddressDeps) {
  let seen: { readonly address: string; readonly times: number } | undefined;

  return async (signal: AbortSignal): Promise<AddressLook> => {
    const self = deps.member();
    if (self === undefined) return "has it";
    const routes = await defaultRoutes(deps.host, signal);
    const found = newAddress(self.view, deps.host.interfaces(), routes);
    if (found === undefined) {
      seen = undefined;
      return self.view.view.addresses.some((address) => isPresent(deps.host, address)) ? "has it" : "waiting";
    }
    seen = { address: found, times: seen?.address === found ? seen.times + 1 : 1 };
    if (seen.times < looks) return "waiting";
    deps.log.warn(
      { from: self.view.view.addresses, to: found },
      "The address of this node is gone; it takes the one it has",
    );
    seen = undefined;
    await deps.start(found, randomUUID(), timeoutMs)?.result;
    return "moved";
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
