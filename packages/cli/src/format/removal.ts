import type { Output } from "./output.ts";

export function removedOutput(name: string): Output {
  return { plain: () => `Removed ${name} from cluster.\n`, json: () => ({ name }), yaml: () => ({ name }) };
}

export function leftOutput(name: string): Output {
  return {
    plain: () => `${name} has left the cluster. Nothing of it is left on this node.\n`,
    json: () => ({ name }),
    yaml: () => ({ name }),
  };
}
