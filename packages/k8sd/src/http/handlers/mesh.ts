import { answers } from "../endpoint.ts";

export const mesh = [answers("meshStatus", ({ domain, signal }) => domain.mesh(signal))];
