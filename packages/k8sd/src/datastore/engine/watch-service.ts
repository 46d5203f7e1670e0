import { type Event, WatchRequest, WatchResponse } from "../gen/etcd.ts";
import type { Backend } from "./backend.ts";
import { encodeEvents, generated } from "./encode.ts";
import type { Method } from "./grpc-call.ts";
import { maxRequestBytes } from "./kv-service.ts";
import { watchDenied } from "./permission.ts";
import type { Headers } from "./unary.ts";

export type WatchDeps = Pick<Backend, "hub" | "caughtUp">;

const encodeOther = generated(WatchResponse);
/** A response beyond this is cut into fragments for the watches that can take them. */
const fragmentBytes = maxRequestBytes + 512 * 1024;

export function watchMethods({ hub, caughtUp }: WatchDeps, headers: Headers): [string, Method][] {
  return [
    [
      "/etcdserverpb.Watch/Watch",
      {
        kind: "stream",
        serve(call) {
          const write = (response: WatchResponse) =>
            call.send((writer) => (response.events.length > 0 ? encodeEvents : encodeOther)(response, writer));
          const stream = hub.open(({ revision, ...rest }) => {
            const response: WatchResponse = {
              created: false,
              canceled: false,
              compactRevision: 0,
              cancelReason: "",
              events: [],
              ...rest,
              fragment: false,
              header: headers(revision),
            };
            return rest.fragment ? fragments(response).map(write).every(Boolean) : write(response);
          });
          const serve = (request: WatchRequest["requestUnion"]) => {
            switch (request?.$case) {
              case "createRequest":
                if (call.permission?.watch(request.value) === false) return stream.refuse(watchDenied);
                return stream.create(request.value);
              case "cancelRequest":
                return stream.cancel(request.value.watchId);
              case "progressRequest":
                return stream.progress();
              case undefined:
                return;
            }
          };
          /** Requests that wait for what others wrote, so that "now" is no earlier than the client's. */
          let waiting = 0;
          let over = false;
          let last: Promise<void> = Promise.resolve();
          return {
            message(bytes) {
              const request = WatchRequest.decode(bytes).requestUnion;
              const known = caughtUp();
              if (!known && waiting === 0) return serve(request);
              waiting++;
              last = Promise.all([last, known]).then(() => {
                waiting--;
                if (!over) serve(request);
              });
            },
            ended() {
              over = true;
              stream.close();
              call.end();
            },
            drained: () => stream.drained(),
            closed() {
              over = true;
              stream.close();
            },
          };
        },
      },
    ],
  ];
}

/** All but the last are marked as fragments of one response. */
function fragments(response: WatchResponse): WatchResponse[] {
  const parts: WatchResponse[] = [];
  let part: Event[] = [];
  let bytes = 0;
  for (const event of response.events) {
    const size = eventBytes(event);
    if (part.length > 0 && bytes + size > fragmentBytes) {
      parts.push({ ...response, events: part, fragment: true });
      part = [];
      bytes = 0;
    }
    part.push(event);
    bytes += size;
  }
  return [...parts, { ...response, events: part }];
}

/** An upper bound: the bytes it carries, and room for the numbers. */
function eventBytes({ kv, prevKv }: Event): number {
  const numbers = 64;
  const size = (side: Event["kv"]) => (side ? side.key.length + side.value.length + numbers : 0);
  return size(kv) + size(prevKv);
}
