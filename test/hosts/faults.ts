import { bridgePorts } from "./delays.ts";
import type { PartitionKind } from "./types.ts";

/** What is wrong with the network, by the switch's ports. The whole list is put in force at once. */
export type Fault =
  | { readonly kind: "partition"; readonly port: string; readonly direction: PartitionKind }
  | { readonly kind: "pair"; readonly port: string; readonly other: string }
  | { readonly kind: "loss"; readonly port: string; readonly percent: number }
  | { readonly kind: "delay"; readonly port: string; readonly ms: number; readonly jitterMs: number };

/** A host's own fault, or one between it and another. */
export function concerns(fault: Fault, port: string): boolean {
  return fault.port === port || (fault.kind === "pair" && fault.other === port);
}

/** The rules as nft reads them: one transaction that replaces whatever was in force. */
export function renderFaults(faults: readonly Fault[]): string {
  const named = (port: string) =>
    `{ ${bridgePorts(port)
      .map((name) => `"${name}"`)
      .join(", ")} }`;
  const incoming: string[] = []; // from a host into the switch
  const outgoing: string[] = []; // from the switch to a host
  const between: string[] = [];
  for (const fault of faults) {
    switch (fault.kind) {
      case "partition":
        if (fault.direction !== "incoming") incoming.push(`iifname ${named(fault.port)} drop`);
        if (fault.direction !== "outgoing") outgoing.push(`oifname ${named(fault.port)} drop`);
        break;
      case "pair":
        between.push(`iifname ${named(fault.port)} oifname ${named(fault.other)} drop`);
        between.push(`iifname ${named(fault.other)} oifname ${named(fault.port)} drop`);
        break;
      case "loss": {
        const lost = `numgen random mod 10000 < ${Math.round(fault.percent * 100)} drop`;
        incoming.push(`iifname ${named(fault.port)} ${lost}`);
        outgoing.push(`oifname ${named(fault.port)} ${lost}`);
        break;
      }
      case "delay": // not a matter of rules
        break;
      default:
        fault satisfies never;
    }
  }
  const chain = (name: string, hook: string, rules: readonly string[]) =>
    `  chain ${name} {\n    type filter hook ${hook} priority 0; policy accept;\n${rules.map((rule) => `    ${rule}\n`).join("")}  }\n`;
  return [
    "table bridge faults\ndelete table bridge faults\n",
    "table bridge faults {\n",
    chain("incoming", "prerouting", incoming),
    chain("between", "forward", between),
    chain("outgoing", "postrouting", outgoing),
    "}\n",
  ].join("");
}
