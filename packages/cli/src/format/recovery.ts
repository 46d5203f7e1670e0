import type { RecoverResponse, RecoveryMember, RecoveryPlan } from "@k8sd/api-types";
import type { Output } from "./output.ts";

/** What is going to happen, for a person to decide. */
export function recoveryPlanText(plan: RecoveryPlan): string {
  const width = Math.max(...plan.members.map(({ name }) => name.length));
  const silent = plan.members.filter(({ log }) => log === undefined).map(({ name }) => name);
  const lines = [
    "Control planes:",
    ...plan.members.map((member) => `  ${member.name.padEnd(width)}   ${describe(member)}`),
    `Recovering keeps the copy of ${plan.keeps} and begins epoch ${plan.epoch.to} of the cluster (now ${plan.epoch.from}).`,
    silent.length === 0
      ? "All copies were compared."
      : `Changes that reached only ${list(silent)} are lost; nobody who answers has them.`,
    ...(plan.rejoin.length === 0
      ? []
      : [`${list(plan.rejoin)} will take over this copy by themselves when they answer again.`]),
    `The data that is now on this node is kept in ${plan.backup}.`,
  ];
  return `${lines.join("\n")}\n`;
}

export function recoveryOutput({ epoch, backup, rejoin }: RecoverResponse): Output {
  const value = () => ({ epoch, backup, rejoin: [...rejoin] });
  const lines = [
    `Recovered the cluster; it is in epoch ${epoch} now.`,
    `The old data of this node is in ${backup}.`,
    ...(rejoin.length === 0
      ? []
      : [
          `Waiting for ${list(rejoin)}: each comes back by itself when it is started. Remove what is lost for good with 'k8s remove-node NAME --force'.`,
        ]),
  ];
  return { plain: () => lines.join("\n"), json: value, yaml: value };
}

function describe({ address, self, log, problem }: RecoveryMember): string {
  const what = log === undefined ? (problem ?? "does not answer") : `has ${log.index} entries of term ${log.term}`;
  return `${address}   ${self ? "this node, " : ""}${what}`;
}

function list(names: readonly string[]): string {
  return names.join(", ");
}
