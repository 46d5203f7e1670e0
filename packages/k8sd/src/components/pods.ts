import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { errorCode, isMissingFile } from "../lib/app-error.ts";
import { exists } from "../lib/read-file.ts";
import { grpcCall } from "./grpc-probe.ts";

/** A Pod's network and mounts are taken down in well under a second; a busy disk holds it up for some. */
const callMs = 30_000;
/** At once: each starts programs of the network. */
const together = 8;

/**
 * Ends every Pod of this node by way of the container runtime (CRI), so that interfaces, addresses, rules and namespaces of
 * their networks go with them. A runtime that does not run has none to end.
 */
export async function removePods(socket: string, signal: AbortSignal): Promise<void> {
  const call = (method: string, request?: Uint8Array): Promise<Buffer> =>
    grpcCall({
      target: { socket },
      method: `/runtime.v1.RuntimeService/${method}`,
      signal,
      timeoutMs: callMs,
      ...(request === undefined ? {} : { request }),
    });
  if (!(await exists(socket))) return;
  let ids: string[];
  try {
    ids = idsOf(await call("ListPodSandbox"));
  } catch (error) {
    if (isRefused(error)) return;
    throw error;
  }
  while (ids.length > 0) {
    await Promise.all(
      ids.splice(0, together).map(async (id) => {
        const request = withId(id);
        await call("StopPodSandbox", request);
        await call("RemovePodSandbox", request);
      }),
    );
  }
}

/** The socket of a runtime that was killed. */
function isRefused(error: unknown): boolean {
  return errorCode(error) === "ECONNREFUSED" || isMissingFile(error);
}

/** `pod_sandbox_id` is the first field of both requests. */
function withId(id: string): Uint8Array {
  return new BinaryWriter().tag(1, 2).string(id).finish();
}

/** `items` is the first field of the answer, `id` the first one of an item. */
function idsOf(answer: Uint8Array): string[] {
  return fields(answer, 1).flatMap((item) => fields(item, 1).map((id) => Buffer.from(id).toString("utf8")));
}

/** The contents of a length-delimited field, each time that it occurs. */
function fields(message: Uint8Array, wanted: number): Uint8Array[] {
  const reader = new BinaryReader(message);
  const found: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === wanted && type === 2) found.push(reader.bytes());
    else reader.skip(type, field);
  }
  return found;
}
