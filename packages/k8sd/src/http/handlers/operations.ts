import { AppError } from "../../lib/app-error.ts";
import { answers } from "../endpoint.ts";

const unknownOperation = (id: string) =>
  new AppError("not-found", `cannot find operation ${JSON.stringify(id)}`, {
    remedy: "GET /1.0/k8sd/operations lists those that are known.",
  });

export const operations = [
  answers("listOperations", ({ domain }) => Promise.resolve({ operations: [...domain.operations.list()] })),

  answers(
    "getOperation",
    async ({ domain, id }) => {
      const operation = domain.operations.get(id);
      if (operation === undefined) throw unknownOperation(id);
      return operation;
    },
    {
      follow: ({ domain, id }) => {
        const run = domain.operations.follow(id);
        if (run === undefined) throw unknownOperation(id);
        return run;
      },
    },
  ),

  answers("cancelOperation", async ({ domain, id }) => {
    if (domain.operations.cancel(id)) return {};
    if (domain.operations.get(id) === undefined) throw unknownOperation(id);
    throw new AppError("conflict", `cannot cancel operation ${id}: it is over, or past its point of no return`);
  }),
];
