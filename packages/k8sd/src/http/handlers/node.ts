import { errorReport } from "../../lib/app-error.ts";
import { answers } from "../endpoint.ts";

export const node = [
  answers("localNode", ({ domain, signal }) => domain.localNode(signal), {
    // Clients read any 503 here as "not initialised".
    failure: (error) => ({ status: error.kind === "not-initialised" ? 503 : 500, message: errorReport(error) }),
  }),
];
