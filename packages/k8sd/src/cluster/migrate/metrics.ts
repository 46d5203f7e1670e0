import type { DatastoreMember, DatastoreReport } from "@k8sd/api-types";
import { etcdMetrics } from "../../datastore/etcd-metrics.ts";
import { withDeadline } from "../../lib/wait.ts";
import { datastoreOptions } from "../connections.ts";
import { datastoreReport, type ReportDeps } from "./report.ts";

type Labels = Readonly<Record<string, string>>;
type Value = number | boolean | undefined;

interface Family {
  readonly name: string;
  readonly help: string;
  readonly samples: readonly { readonly labels: Labels; readonly value: Value }[];
}

const answerMs = 3_000;

/** For Prometheus: how the datastore is by its report, whichever engine it is, and what this node's etcd says of itself. */
export async function datastoreMetrics(deps: ReportDeps, signal: AbortSignal): Promise<string> {
  const { view } = deps.member().view;
  const [report, own] = await Promise.all([
    datastoreReport(deps, signal),
    view.datastore.engine === "etcd" ? ownMetrics().catch(() => "") : "",
  ]);
  signal.throwIfAborted();
  return `${metricsText(report)}${own === "" ? "" : `${own}\n`}`;

  async function ownMetrics(): Promise<string> {
    const { endpoints, tls = {} } = await datastoreOptions(view);
    return etcdMetrics(endpoints[0] ?? "", tls, withDeadline(signal, answerMs));
  }
}

export function metricsText(report: DatastoreReport): string {
  const { engine, members } = report;
  const whole = (value: Value) => [{ labels: { engine }, value }];
  const each = (value: (member: DatastoreMember) => Value) =>
    members.map((member) => ({ labels: { member: member.name }, value: value(member) }));
  const families: readonly Family[] = [
    {
      name: "up",
      help: "Whether the datastore answers this node.",
      samples: whole(report.problem === undefined),
    },
    { name: "revision", help: "The newest revision.", samples: whole(report.revision) },
    {
      name: "moving",
      help: "Whether a migration to another engine is under way.",
      samples: whole(report.migration !== undefined),
    },
    {
      name: "members",
      help: "Members by their role.",
      samples: (["voter", "learner"] as const).map((role) => ({
        labels: { role },
        value: members.filter((member) => member.role === role).length,
      })),
    },
    {
      name: "member_up",
      help: "Whether the member answers this node.",
      samples: each(({ problem }) => problem === undefined),
    },
    { name: "member_leader", help: "Whether the member leads.", samples: each(({ leader }) => leader) },
    {
      name: "member_behind_changes",
      help: "Changes that the cluster has and the member has not applied.",
      samples: each(({ behind }) => behind),
    },
    { name: "member_size_bytes", help: "Size of the member's file.", samples: each(({ size }) => size) },
    {
      name: "member_size_in_use_bytes",
      help: "What of it holds data.",
      samples: each((member) => member["size-in-use"]),
    },
    { name: "member_quota_bytes", help: "How large it may grow.", samples: each(({ quota }) => quota) },
    {
      name: "member_alarm",
      help: "Alarms that the member raised and nobody disarmed.",
      samples: members.flatMap(({ name, alarms = [] }) =>
        ["NOSPACE", "CORRUPT"].map((alarm) => ({ labels: { member: name, alarm }, value: alarms.includes(alarm) })),
      ),
    },
    {
      name: "member_last_defragmentation_timestamp_seconds",
      help: "When k8sd last had the member's file written anew.",
      samples: each((member) => {
        const at = member["last-defragmented"];
        return at === undefined ? undefined : Date.parse(at) / 1000;
      }),
    },
  ];
  return families.map(familyText).join("");
}

function familyText({ name, help, samples }: Family): string {
  const full = `k8sd_datastore_${name}`;
  const lines = samples.flatMap(({ labels, value }) =>
    value === undefined ? [] : [`${full}${labelsText(labels)} ${Number(value)}\n`],
  );
  return lines.length === 0 ? "" : `# HELP ${full} ${help}\n# TYPE ${full} gauge\n${lines.join("")}`;
}

function labelsText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return `{${pairs.join(",")}}`;
}

const escaped = (value: string): string =>
  value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
