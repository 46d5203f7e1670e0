import type { MessageFns, ResponseHeader } from "../gen/etcd.ts";
import { type Encode, generated } from "./encode.ts";
import type { UnaryMethod } from "./grpc-call.ts";
import type { Permission } from "./permission.ts";

/** The header of an answer; without a revision it names the newest. */
export type Headers = (revision?: number) => ResponseHeader;

/** Ties one call's messages to its handler, which may answer at once or later. */
export function unary<Request, Response>(
  request: MessageFns<Request>,
  response: MessageFns<Response> | Encode<Response>,
  handle: (request: Request, size: number, permission: Permission | undefined) => Response | Promise<Response>,
): UnaryMethod {
  const encode = typeof response === "function" ? response : generated(response);
  const encoded = (answer: Response) => (writer: Parameters<typeof encode>[1]) => encode(answer, writer);
  return {
    kind: "unary",
    serve(message, permission) {
      const answer = handle(request.decode(message), message.length, permission);
      return answer instanceof Promise ? answer.then(encoded) : encoded(answer);
    },
  };
}
