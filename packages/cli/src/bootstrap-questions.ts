import type { Readable } from "node:stream";
import type { BootstrapConfig, UserFacingClusterConfig } from "@k8sd/api-types";

const features = ["network", "dns", "gateway", "ingress", "local-storage", "load-balancer"] as const;
type Feature = (typeof features)[number];
const usualFeatures: readonly Feature[] = ["network", "dns", "gateway", "local-storage"];

/** What `k8s bootstrap` without a file asks for. */
export function usualConfig(): BootstrapConfig {
  return { "cluster-config": clusterConfig(usualFeatures) };
}

function clusterConfig(enabled: readonly Feature[]): UserFacingClusterConfig {
  const config: UserFacingClusterConfig = {};
  for (const feature of enabled) {
    config[feature] = feature === "network" ? { enabled: true, "kube-proxy-enabled": false } : { enabled: true };
  }
  return config;
}

/** Asks the questions of `--interactive`; an empty answer takes what stands in brackets. */
export async function askForConfig(input: Readable, ask: (text: string) => void): Promise<BootstrapConfig> {
  const { createInterface } = await import("node:readline");
  using lines = createInterface({ input });
  const answers = lines[Symbol.asyncIterator]();

  async function answer(question: string, usual: string): Promise<string> {
    ask(`${question} [${usual}]: `);
    const { value, done } = await answers.next();
    if (done) throw new Error("the input ended before all questions were answered");
    return String(value).toLowerCase().replaceAll(/\s/g, "") || usual.replaceAll(" ", "");
  }

  async function chosenFeatures(): Promise<readonly Feature[]> {
    for (;;) {
      const question = `Which features would you like to enable? (${features.join(", ")})`;
      const words = (await answer(question, usualFeatures.join(", "))).split(",").filter((word) => word !== "");
      const wrong = words.find((word) => !isFeature(word));
      if (wrong === undefined) return words.filter(isFeature);
      ask(`  ${JSON.stringify(wrong)} is not a valid option.\n`);
    }
  }

  return {
    "cluster-config": clusterConfig(await chosenFeatures()),
    "pod-cidr": await answer("Please set the Pod CIDR:", "10.1.0.0/16"),
    "service-cidr": await answer("Please set the Service CIDR:", "10.152.183.0/24"),
  };
}

function isFeature(word: string): word is Feature {
  return features.some((feature) => feature === word);
}
