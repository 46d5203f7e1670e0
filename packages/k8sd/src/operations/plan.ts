export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined };

/** One change of the world, as data. Its arguments hold no secrets: those live beside the journal and go when it ends. */
export interface Step {
  readonly kind: string;
  /** What a person reads while it runs: "Write certificates". */
  readonly title: string;
  readonly args: Json;
}

/** One that needs no more than what all steps share. */
export interface Bare<K extends string> extends Step {
  readonly kind: K;
  readonly args: null;
}

export type OperationKind =
  | "bootstrap"
  | "join"
  | "remove"
  | "leave"
  | "recover"
  | "rejoin"
  | "set-address"
  | "migrate"
  | "snapshot"
  | "fetch-snapshot"
  | "restore";

/** A change as a list of steps that can be finished or taken back at any point, also by a process that starts later. */
export interface Plan<S extends Step> {
  readonly operation: OperationKind;
  /** Asking again with the same id gives the same operation. */
  readonly requestId: string;
  /** What all steps share, for example the node as it shall become: plain data, which the journal keeps. No secrets. */
  readonly input: object;
  readonly steps: readonly S[];
  /** Index of the point of no return: a failure or crash before this step is done undoes everything, one after it resumes. */
  readonly commit: number;
  /**
   * True where somebody else passes the point of no return first, in the commit's step: after a crash in it only they know
   * whether they did, so it is gone through again. If that fails, everything is undone.
   */
  readonly commitsElsewhere?: true;
  /** What the caller gets when all steps are done. */
  readonly result: Json;
}

export interface StepContext {
  /** Ends when the operation is cancelled, runs out of time or the daemon stops. */
  readonly signal: AbortSignal;
  progress(progress: { readonly done: number; readonly of: number; readonly note?: string }): void;
  /** What the reader should know of how the step ended; it stands with its end. */
  conclude(note: string): void;
  /** Durable before it returns: becomes part of the result, beside what the plan says. */
  add(result: Readonly<Record<string, Json>>): void;
  /** What was added so far, also before a restart. */
  added(): Readonly<Record<string, Json | undefined>>;
  /** What `remember` recorded for this step, also before a restart. */
  readonly note: Json | undefined;
  /** Durable before it returns: what the undo of this step must know, recorded before the step changes anything. */
  remember(note: Json): void;
  /**
   * Writes to node.db and records the step as done in one transaction: the point of no return is passed with what it
   * makes final, or neither is.
   */
  commit(write: () => void): void;
  /** The plan's shared input, as the journal gave it back: what planned the operation knows its type. */
  readonly input: unknown;
  /** The operation's secret input. */
  readonly secret: string | undefined;
}

export interface Executor<S extends Step> {
  /** Idempotent: may be called again after a crash in its middle. */
  run(step: S, context: StepContext): Promise<void>;
  /** Idempotent, also when `run` stopped half way. Absent: there is nothing to take back. */
  undo?(step: S, context: StepContext): Promise<void>;
}

/** One executor per kind of step: the compiler asks for each. */
export type Executors<S extends Step> = { readonly [K in S["kind"]]: Executor<Extract<S, { readonly kind: K }>> };
