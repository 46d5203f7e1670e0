import { answers, starts } from "../endpoint.ts";

export const address = [
  starts("setAddress", ({ domain, requestId }, { address: text, peers, timeout }) =>
    domain.address.setAddress({ address: text, peers, timeoutMs: Math.ceil(timeout / 1e6) }, { requestId }),
  ),
  answers("moveMember", ({ domain, caller, signal }, request) => domain.moves.move(request, caller, signal)),
  answers("membersMoved", async ({ domain }, request) => {
    await domain.moves.moved(request);
    return {};
  }),
];
