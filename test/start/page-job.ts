import { stringify } from "yaml";
import type { Host } from "../hosts/types.ts";
import { webImage } from "../kubernetes/images/names.ts";

const name = "page";

const manifest = [
  {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: {
          // The first node of a cluster is the only one: what it must run tolerates what it is.
          tolerations: [{ operator: "Exists" }],
          containers: [
            { name: "web", image: webImage, imagePullPolicy: "IfNotPresent", ports: [{ containerPort: 80 }] },
          ],
        },
      },
    },
  },
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name },
    spec: { selector: { app: name }, ports: [{ port: 80, targetPort: 80 }] },
  },
];

/** The main job of a cluster: a Deployment behind a Service, and a page fetched through the Service's address. */
export async function runPageJob(host: Host): Promise<void> {
  const kubectl = (...argv: string[]) => host.run("k8s", "kubectl", ...argv);
  await host.writeFile("/root/page.yaml", manifest.map((object) => stringify(object)).join("---\n"));
  await kubectl("apply", "-f", "/root/page.yaml");
  const rollout = ["k8s", "kubectl", "rollout", "status", `deployment/${name}`, "--timeout=120s"];
  const { exitCode, stderr } = await host.tryRun(rollout, { timeoutMs: 130_000 });
  if (exitCode !== 0)
    throw new Error(`the pod did not start: ${stderr}\n${(await kubectl("describe", "pods")).stdout}`);
  const { stdout: address } = await kubectl("get", "service", name, "-o", "jsonpath={.spec.clusterIP}");
  const { stdout: page } = await host.run(
    "curl",
    "-sS",
    "--max-time",
    "10",
    "--retry",
    "5",
    "--retry-all-errors",
    `http://${address.trim()}/`,
  );
  console.log(`Page fetched from Service ${name} at ${address.trim()}:\n${page.trimEnd()}`);
}
