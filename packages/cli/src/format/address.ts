import type { SetAddressResponse } from "@k8sd/api-types";
import type { Output } from "./output.ts";

export function addressOutput({ name, address, addresses, peers, advice }: SetAddressResponse): Output {
  const value = () => ({
    name,
    address,
    addresses: [...addresses],
    peers: { ...peers },
    ...(advice === undefined ? {} : { advice }),
  });
  return {
    plain: () =>
      [
        `${name} has the address ${addresses.join(", ")}; its k8sd listens on ${address}.`,
        ...Object.entries(peers).map(([peer, problem]) =>
          problem === "" ? `${peer} knows the new addresses.` : `${peer} could not be told: ${problem}.`,
        ),
        ...(advice === undefined ? [] : [advice]),
      ].join("\n"),
    json: value,
    yaml: value,
  };
}
