import type { NodeView } from "../../components/component.ts";
import { wantedComponents } from "../../components/wanted.ts";
import type { Host } from "../../host/host.ts";
import type { Executors, StepContext } from "../../operations/plan.ts";
import { awaitService } from "../bootstrap/await-service.ts";
import type { BootstrapInput } from "../bootstrap/plan.ts";
import type { ServicesSteps } from "./plan.ts";

export interface MemberServicesDeps {
  readonly host: Host;
  readonly member: {
    /** Ends what works with the datastore on this node; its listener stays. */
    rest(): Promise<void>;
  };
  /** What runs on members starts. */
  readonly joined: () => void;
}

/** How what works with the datastore makes room for a change of it, and comes back. */
export function memberServices({ host, member, joined }: MemberServicesDeps) {
  const { services } = host;

  async function start(view: NodeView, names: readonly string[], context: StepContext): Promise<void> {
    for (const name of names) await services.start(name, context.signal);
    const components = wantedComponents(view).filter(({ name }) => names.includes(name));
    await Promise.all(components.map((component) => awaitService(component, view, services, context.signal)));
  }

  const executors: Executors<ServicesSteps> = {
    "stop-services": {
      run: async (step, { signal }) => {
        await member.rest();
        for (const name of step.args.services.toReversed()) await services.stop(name, signal);
      },
      undo: async (step, { signal }) => {
        // Whether they come up is what it was before; nobody waits for a datastore without quorum.
        for (const name of step.args.services) await services.start(name, signal);
        joined();
      },
    },
    "start-services": {
      run: (step, context) => {
        const { after } = context.input as { readonly after: BootstrapInput };
        return start(after.view, step.args.services, context);
      },
    },
    "resume-member": { run: async () => joined() },
  };
  return { start, executors };
}
