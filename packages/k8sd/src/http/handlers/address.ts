import { toMs } from "../duration.ts";
import { answers, starts } from "../endpoint.ts";

export const address = [
  starts("setAddress", ({ domain, requestId, caller }, { address: text, peers, timeout }) =>
    domain.address.setAddress({ address: text, peers, timeoutMs: toMs(timeout) }, { requestId, caller }),
  ),
  answers("moveMember", ({ domain, caller, signal }, request) => domain.moves.move(request, caller, signal)),
  answers("membersMoved", async ({ domain }, request) => {
    await domain.moves.moved(request);
    return {};
  }),
];
