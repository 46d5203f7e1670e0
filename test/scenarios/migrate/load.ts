import { expect } from "vitest";
import { kubectl } from "../../expect-node.ts";
import type { Host } from "../../hosts/types.ts";

const proxy = "http://127.0.0.1:8001/api/v1/namespaces/default/configmaps";

/** One object after the other; number, resource version and time of each that was acknowledged are on the host's disk. */
const script = `
i=0; rm -f /var/tmp/load-stop; : > /var/tmp/created
while ! test -e /var/tmp/load-stop; do
  i=$((i+1))
  curl -s -m 20 -H 'content-type: application/json' -d '{"metadata":{"name":"load-'$1-$i'"}}' ${proxy} > /var/tmp/answer
  if grep -q '"kind": "ConfigMap"' /var/tmp/answer; then
    echo $i $(sed -n 's/.*"resourceVersion": "\\([0-9]*\\)".*/\\1/p' /var/tmp/answer) $(date +%s%3N) >> /var/tmp/created
  else
    sleep 0.1
  fi
done
`;

export type UnderLoad = (work: () => Promise<unknown>) => Promise<void>;

/** While a client creates objects of Kubernetes, something is done: none is lost, and resource versions only rise. */
export async function createLoad(host: Host): Promise<UnderLoad> {
  let round = 0;
  await host.writeFile("/var/tmp/load.sh", script);
  host.spawn(["k8s", "kubectl", "proxy", "--port=8001"]);

  const created = async () =>
    (await host.readFile("/var/tmp/created"))
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => line.split(" ").map(Number) as [number, number, number]);

  return async (work) => {
    round += 1;
    await host.run(
      "sh",
      "-c",
      `rm -f /var/tmp/created; setsid sh /var/tmp/load.sh ${round} > /dev/null 2>&1 < /dev/null &`,
    );
    await expect.poll(async () => (await created()).length, { timeout: 20_000 }).toBeGreaterThan(5);
    await work();
    const during = (await created()).length;
    await expect.poll(async () => (await created()).length, { timeout: 60_000 }).toBeGreaterThan(during + 10);
    await host.run("touch", "/var/tmp/load-stop");
    const runs = async () => (await host.tryRun(["pgrep", "-f", "/var/tmp/load.sh"])).exitCode;
    await expect.poll(runs, { timeout: 60_000 }).toBe(1);

    const all = await created();
    const versions = all.map(([, version]) => version);
    expect(versions).toEqual(versions.toSorted((a, b) => a - b));
    expect(new Set(versions).size).toBe(versions.length);
    const names = new Set((await kubectl(host, "get", "configmaps", "-o", "name")).split("\n"));
    expect(all.map(([i]) => `configmap/load-${round}-${i}`).filter((name) => !names.has(name))).toEqual([]);
    const gaps = all.map(([, , at], index) => at - (all[index - 1]?.[2] ?? at));
    console.info(`${all.length} objects created, the longest wait between two was ${Math.max(...gaps)} ms`);
  };
}
