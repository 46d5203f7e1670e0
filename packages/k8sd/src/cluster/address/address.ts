import { randomUUID } from "node:crypto";
import type { MembersMovedRequest, SetAddressResponse } from "@k8sd/api-types";
import type { Host } from "../../host/host.ts";
import { errorText } from "../../lib/app-error.ts";
import type { Audit } from "../../node-db/audit.ts";
import { type DeferredRun, deferredRun } from "../../operations/deferred.ts";
import type { OperationRun, Runner } from "../../operations/runner.ts";
import { type Asker, audited } from "../audited.ts";
import type { Copies, Self } from "../recover/copies.ts";
import type { Recovery } from "../recover/recovery.ts";
import { isAhead } from "../recover/survey.ts";
import type { KnownMember, Roster } from "../roster.ts";
import { hintedMembers } from "./hints.ts";
import { planSetAddress } from "./plan.ts";
import { movedInput } from "./prepare.ts";

export interface SetAddressDeps {
  readonly host: Host;
  /** The member that this node is; throws before there is one. */
  readonly member: () => Self;
  readonly runner: Pick<Runner, "find" | "start">;
  readonly roster: Pick<Roster, "members" | "replace">;
  readonly audit: Pick<Audit, "record">;
  readonly copies: Pick<Copies, "own" | "others" | "link">;
  readonly recovery: Pick<Recovery, "recover">;
}

export interface SetAddressOrder {
  /** "" = it stays what it is. */
  readonly address: string;
  /** New addresses of others, by name. */
  readonly peers: Readonly<Record<string, string>>;
  /** 0 = the domain's own ceiling. */
  readonly timeoutMs: number;
}

const ceilingMs = 3_600_000;
const tellMs = 10_000;

export type SetAddress = ReturnType<typeof createSetAddress>;

/** This node gets another address, and learns those that others have got. */
export function createSetAddress(deps: SetAddressDeps) {
  const { host, runner, roster } = deps;

  function start(address: string, requestId: string, timeoutMs: number, asker: Asker): OperationRun | undefined {
    const { id, clusterId, view: before } = deps.member();
    const after = movedInput(before, address, host);
    if (after === undefined) return undefined;
    const input = { nodeId: id, clusterId, before, after };
    const run = runner.start(planSetAddress(input, {}, requestId), { timeoutMs });
    const details = { from: before.view.addresses.join(", "), to: after.view.addresses.join(", ") };
    audited(deps.audit, asker, { action: "node.set-address", details }, run.result);
    return run;
  }

  function note(hinted: readonly KnownMember[]): void {
    roster.replace(roster.members().map((member) => hinted.find(({ id }) => id === member.id) ?? member));
  }

  /** Each hears where all the others are; "" where that worked. */
  async function tell(hinted: readonly KnownMember[], signal: AbortSignal): Promise<Record<string, string>> {
    const { id, view: input } = deps.member();
    if (hinted.length === 0 || input.view.role === "worker") return {};
    const self = { id, addresses: [...input.view.addresses], "k8sd-address": input.view.k8sdAddress };
    const members: MembersMovedRequest["members"] = [
      self,
      ...hinted.map((each) => ({
        id: each.id,
        addresses: [...each.addresses],
        "k8sd-address": each.k8sdAddress,
      })),
    ];
    const outcomes = hinted.map(async ({ name, k8sdAddress, role }): Promise<[string, string]> => {
      if (role === "worker") return [name, `run 'k8s set-address --peer ${input.view.name}=…' on it`];
      try {
        await (await deps.copies.link(k8sdAddress, tellMs)).ask("membersMoved", { members }, signal);
        return [name, ""];
      } catch (error) {
        return [name, errorText(error)];
      }
    });
    return Object.fromEntries(await Promise.all(outcomes));
  }

  /**
   * Where all have moved at once etcd cannot be told, because that takes a majority that find each other. The one with the
   * most goes on from its copy, and the others take it over: all were compared, so nothing is lost.
   * @returns what a person has to do; undefined: nothing.
   */
  async function regainQuorum(caller: Asker, signal: AbortSignal): Promise<string | undefined> {
    const self = deps.member();
    if (self.view.view.role === "worker" || self.view.view.datastore.engine !== "etcd") return undefined;
    const [own, answers] = await Promise.all([deps.copies.own(self, signal), deps.copies.others(self, signal)]);
    if (own.quorum || answers.some(({ copy }) => copy?.quorum)) return undefined;
    const copies = [{ address: "", copy: own }, ...answers];
    const missing = copies.filter(({ copy }) => copy?.log === undefined);
    if (missing.length > 0) {
      const reasons = answers.flatMap(({ name, problem }) => (problem === undefined ? [] : [`${name}: ${problem}`]));
      return `The datastore has no quorum, and not all control planes answer (${reasons.join("; ")}). Name the new address of each with --peer; if some are lost for good, run 'k8s recover'.`;
    }
    const best = copies.reduce((a, b) =>
      a.copy?.log !== undefined && b.copy?.log !== undefined && isAhead(b.copy.log, a.copy.log) ? b : a,
    );
    if (best.copy === own)
      await deps.recovery.recover({ force: true, timeoutMs: 0 }, { requestId: randomUUID(), caller }).result;
    else await (await deps.copies.link(best.address, tellMs)).ask("recover", { force: true }, signal);
    return undefined;
  }

  return {
    start,

    setAddress(
      { address, peers, timeoutMs }: SetAddressOrder,
      { requestId, caller }: { readonly requestId: string; readonly caller: Asker },
    ): DeferredRun<SetAddressResponse> {
      const limit = Math.min(timeoutMs === 0 ? ceilingMs : timeoutMs, ceilingMs);
      const signal = AbortSignal.timeout(limit);
      const self = deps.member();
      const hinted = hintedMembers(roster.members(), peers, self.id);
      // What cannot be done is said before anything is noted.
      if (address !== "") movedInput(self.view, address, host);
      if (hinted.length > 0) {
        note(hinted);
        const details = Object.fromEntries(hinted.map(({ name, k8sdAddress }) => [name, k8sdAddress]));
        deps.audit.record({ actor: caller.actor, action: "node.set-peer-addresses", outcome: "ok", details });
      }
      const run = runner.find(requestId) ?? (address === "" ? undefined : start(address, requestId, limit, caller));
      const begun = deferredRun<unknown>(requestId, Promise.resolve(run));
      return {
        ...begun,
        result: begun.result.then(async () => {
          const told = await tell(hinted, signal);
          const { view } = deps.member().view;
          const what = hinted.length === 0 ? undefined : await regainQuorum(caller, signal);
          return {
            name: view.name,
            address: view.k8sdAddress,
            addresses: [...view.addresses],
            peers: told,
            ...(what === undefined ? {} : { advice: what }),
          };
        }),
      };
    },
  };
}
