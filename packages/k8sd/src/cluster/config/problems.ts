import { AppError } from "../../lib/app-error.ts";

/** One thing that is wrong with a configuration. */
export interface Problem {
  /** Key as the user writes it: `dns.service-ip`. */
  readonly field: string;
  readonly message: string;
  readonly remedy: string;
}

export function problem(field: string, message: string, remedy: string): Problem {
  return { field, message, remedy };
}

/** The first problem gives the error its text and remedy, the others follow: nobody should learn of them one by one. */
export function throwProblems(problems: readonly Problem[], prefix = ""): void {
  const [first, ...others] = problems;
  if (first === undefined) return;
  const also = others.length === 0 ? "" : ` (also: ${others.map((problem) => problem.message).join("; ")})`;
  throw new AppError("invalid", `${prefix}${first.message}${also}`, {
    field: first.field,
    remedy: first.remedy,
    details: { problems },
  });
}
