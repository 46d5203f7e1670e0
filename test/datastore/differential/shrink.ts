import type { ClientStep, KvStep, Program, Step, TxnStep } from "./program.ts";

export type Fails = (program: Program) => Promise<boolean>;

/**
 * Delta debugging: leaves out ever smaller parts of the steps as long as the rest still fails, then looks inside transactions.
 * @param attempts how many runs it may take at most.
 */
export async function shrink(program: Program, fails: Fails, attempts: number): Promise<Program> {
  let left = attempts;
  const stillFails: Fails = async (candidate) => {
    if (left <= 0) return false;
    left--;
    return fails(candidate);
  };
  const fewer = await shrinkList(program.steps, (steps) => stillFails({ ...program, steps }));
  const steps = [...fewer];
  for (const [index, each] of fewer.entries()) {
    const use = (step: Step): ClientStep[] => steps.with(index, { ...each, step });
    const smaller = await shrinkStep(each.step, (step) => stillFails({ ...program, steps: use(step) }));
    steps[index] = { ...each, step: smaller };
  }
  return { ...program, steps };
}

async function shrinkList<T>(
  all: readonly T[],
  fails: (part: readonly T[]) => Promise<boolean>,
): Promise<readonly T[]> {
  let rest = all;
  for (let size = Math.ceil(all.length / 2); size >= 1 && rest.length > 0; ) {
    let removed = false;
    for (let end = rest.length; end > 0; end -= size) {
      const without = [...rest.slice(0, Math.max(0, end - size)), ...rest.slice(end)];
      if (!(await fails(without))) continue;
      rest = without;
      removed = true;
    }
    if (size > 1) size = Math.floor(size / 2);
    else if (!removed) break;
  }
  return rest;
}

async function shrinkStep(step: Step, fails: (step: Step) => Promise<boolean>): Promise<Step> {
  if (step.call !== "txn") return step;
  let txn: TxnStep = step;
  const part = async <T>(list: readonly T[], put: (list: readonly T[]) => TxnStep) => {
    const smaller = await shrinkList(list, (candidate) => fails(put(candidate)));
    txn = put(smaller);
  };
  await part(txn.compare, (compare) => ({ ...txn, compare }));
  await part<KvStep>(txn.success, (success) => ({ ...txn, success }));
  await part<KvStep>(txn.failure, (failure) => ({ ...txn, failure }));
  return txn;
}
