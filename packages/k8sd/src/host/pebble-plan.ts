import { AppError } from "../lib/app-error.ts";
import { splitCommand } from "./command-line.ts";
import { combineLayers, type Layer, type LayerCheck, type LayerService } from "./pebble-layer.ts";

export type ExitAction = "restart" | "shutdown" | "failure-shutdown" | "success-shutdown" | "ignore";

/** How the daemon ends when a layer asks it to. */
export type Shutdown = "success" | "failure";

/** A plain `shutdown` ends the daemon as what asks for it ended. */
export function shutdownOf(action: Exclude<ExitAction, "restart" | "ignore">, failed: boolean): Shutdown {
  if (action === "shutdown") return failed ? "failure" : "success";
  return action === "failure-shutdown" ? "failure" : "success";
}

/** A service with every default filled in. */
export interface PlannedService {
  readonly name: string;
  readonly argv: readonly string[];
  readonly enabled: boolean;
  readonly requires: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly identity: Identity;
  readonly onSuccess: ExitAction;
  readonly onFailure: ExitAction;
  readonly onCheckFailure: Readonly<Record<string, ExitAction>>;
  readonly backoff: { readonly delayMs: number; readonly factor: number; readonly limitMs: number };
  readonly killDelayMs: number;
}

/** As whom and where a program runs; names are looked up when it starts. */
export interface Identity {
  readonly user: string | number | undefined;
  readonly group: string | number | undefined;
  readonly workingDir: string;
}

export interface PlannedCheck {
  readonly name: string;
  readonly enabled: boolean;
  readonly periodMs: number;
  readonly timeoutMs: number;
  readonly threshold: number;
  readonly probe:
    | { readonly kind: "http"; readonly url: string; readonly headers: Readonly<Record<string, string>> }
    | { readonly kind: "tcp"; readonly host: string; readonly port: number }
    | {
        readonly kind: "exec";
        readonly argv: readonly string[];
        readonly environment: Readonly<Record<string, string>>;
        readonly identity: Identity;
      };
}

export interface ServicePlan {
  /** In an order in which they can be started. */
  readonly services: ReadonlyMap<string, PlannedService>;
  readonly checks: ReadonlyMap<string, PlannedCheck>;
}

export function planServices(layers: readonly Layer[]): ServicePlan {
  const combined = combineLayers(layers);
  const services = new Map(Object.entries(combined.services));
  const ordered = startOrder(services);
  return {
    services: new Map(ordered.map((name) => [name, planService(name, services)])),
    checks: new Map(Object.entries(combined.checks).map(([name, check]) => [name, planCheck(name, check, services)])),
  };
}

/** The service and all that it requires, first things first. */
export function withRequired(plan: ServicePlan, name: string): readonly PlannedService[] {
  const wanted = new Set([name]);
  for (const each of wanted) for (const required of plan.services.get(each)?.requires ?? []) wanted.add(required);
  return [...plan.services.values()].filter((service) => wanted.has(service.name));
}

/** The services that cannot run without this one, last things first, and itself. */
export function withDependents(plan: ServicePlan, name: string): readonly string[] {
  const found = new Set([name]);
  for (const each of found)
    for (const other of plan.services.values()) if (other.requires.includes(each)) found.add(other.name);
  const order = [...plan.services.keys()];
  return [...found].sort((a, b) => order.indexOf(b) - order.indexOf(a));
}

/** Kahn's algorithm over after, before and requires; services that nothing orders stay as the layers list them. */
function startOrder(services: ReadonlyMap<string, LayerService>): readonly string[] {
  const earlier = new Map(
    [...services].map(([name, { after, requires }]) => [name, new Set([...(after ?? []), ...(requires ?? [])])]),
  );
  for (const [name, { before }] of services) for (const later of before ?? []) earlier.get(later)?.add(name);
  const order: string[] = [];
  const left = new Set(services.keys());
  while (left.size > 0) {
    const ready = [...left].filter((name) => [...(earlier.get(name) ?? [])].every((other) => !left.has(other)));
    if (ready.length === 0) {
      throw new AppError("invalid", `cannot order the services: ${[...left].join(", ")} wait for each other`, {
        remedy: "Take one of their 'after', 'before' or 'requires' entries out of the layers.",
      });
    }
    for (const name of ready) left.delete(name);
    order.push(...ready);
  }
  return order;
}

function planService(name: string, services: ReadonlyMap<string, LayerService>): PlannedService {
  const layer = services.get(name);
  if (layer?.command === undefined) throw invalid(`the service ${name}`, "it has no command");
  const unknown = layer.requires?.find((required) => !services.has(required));
  if (unknown !== undefined) throw invalid(`the service ${name}`, `it requires ${unknown}, which is in no layer`);
  return {
    name,
    argv: splitCommand(layer.command),
    enabled: layer.startup === "enabled",
    requires: layer.requires ?? [],
    environment: layer.environment ?? {},
    identity: identityOf(layer),
    onSuccess: layer["on-success"] ?? "restart",
    onFailure: layer["on-failure"] ?? "restart",
    onCheckFailure: layer["on-check-failure"] ?? {},
    backoff: {
      delayMs: layer["backoff-delay"] ?? 500,
      factor: layer["backoff-factor"] ?? 2,
      limitMs: layer["backoff-limit"] ?? 30_000,
    },
    killDelayMs: layer["kill-delay"] ?? 5_000,
  };
}

function planCheck(name: string, check: LayerCheck, services: ReadonlyMap<string, LayerService>): PlannedCheck {
  const periodMs = check.period ?? 10_000;
  return {
    name,
    enabled: check.startup !== "disabled",
    periodMs,
    timeoutMs: Math.min(check.timeout ?? 3_000, periodMs),
    threshold: check.threshold ?? 3,
    probe: planProbe(name, check, services),
  };
}

function planProbe(
  name: string,
  { http, tcp, exec }: LayerCheck,
  services: ReadonlyMap<string, LayerService>,
): PlannedCheck["probe"] {
  if ([http, tcp, exec].filter((each) => each !== undefined).length !== 1) {
    throw invalid(`the check ${name}`, "it needs exactly one of http, tcp and exec");
  }
  if (http !== undefined) return { kind: "http", url: http.url, headers: http.headers ?? {} };
  if (tcp !== undefined) return { kind: "tcp", host: tcp.host ?? "localhost", port: tcp.port };
  if (exec === undefined) throw invalid(`the check ${name}`, "it needs exactly one of http, tcp and exec");
  const contextName = exec["service-context"];
  const context = contextName === undefined ? undefined : services.get(contextName);
  if (contextName !== undefined && context === undefined)
    throw invalid(`the check ${name}`, `its service-context ${contextName} is in no layer`);
  return {
    kind: "exec",
    argv: splitCommand(exec.command),
    environment: { ...context?.environment, ...exec.environment },
    identity: identityOf({ ...context, ...exec }),
  };
}

function identityOf(layer: {
  user?: string | undefined;
  "user-id"?: number | undefined;
  group?: string | undefined;
  "group-id"?: number | undefined;
  "working-dir"?: string | undefined;
}): Identity {
  return {
    user: layer["user-id"] ?? layer.user,
    group: layer["group-id"] ?? layer.group,
    workingDir: layer["working-dir"] ?? "/",
  };
}

function invalid(what: string, reason: string): AppError {
  return new AppError("invalid", `cannot use ${what}: ${reason}`, { remedy: "Correct the layers." });
}
