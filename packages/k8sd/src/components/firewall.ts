/**
 * What takes every chain and rule of Kubernetes, and of k8sd itself, out of a firewall: input of `iptables-restore --noflush`, made from the
 * output of `iptables-save`. Empty when there is nothing. Other chains and rules are not touched.
 */
export function withoutKubernetes(saved: string): string {
  const tables = saved.split(/^(?=\*)/m).filter((part) => part.startsWith("*"));
  return tables.map(tableWithoutKubernetes).join("");
}

const ours = /^(KUBE|K8SD)-/;

function tableWithoutKubernetes(table: string): string {
  const lines = table.split("\n");
  const chains = lines.flatMap((line) => /^:(\S+)/.exec(line)?.[1] ?? []).filter((chain) => ours.test(chain));
  const jumps = lines.filter((line) => {
    const [, chain = "", target = ""] = /^-A (\S+) .*-[jg] (\S+)/.exec(line) ?? [];
    return ours.test(target) && !ours.test(chain);
  });
  if (chains.length === 0 && jumps.length === 0) return "";
  return [
    lines[0] ?? "",
    ...jumps.map((line) => line.replace(/^-A/, "-D")),
    // Emptied first: a chain that another one jumps to cannot be deleted.
    ...chains.map((chain) => `-F ${chain}`),
    ...chains.map((chain) => `-X ${chain}`),
    "COMMIT",
    "",
  ].join("\n");
}
