import { answers } from "../endpoint.ts";
import { textOf } from "../errors.ts";

export const node = [
  answers("localNode", ({ domain, signal }) => domain.localNode(signal), {
    // Clients read any 503 here as "not initialised".
    failure: (error) => ({ status: error.kind === "not-initialised" ? 503 : 500, message: textOf(error) }),
  }),
];
