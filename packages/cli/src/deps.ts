import type { Readable } from "node:stream";

/** What the commands need of the process and the machine they run on. */
export interface CliDeps {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Prefix of the host's files: /proc, /etc/kubernetes, /run/snapd.socket. */
  readonly root: string;
  uid(): number;
  hostname(): string;
  stdin(): Readable;
  print(text: string): void;
  printError(text: string): void;
  /** Where progress goes; `columns` is undefined when that is no terminal. */
  errorTerminal(): { readonly columns: number } | undefined;
  /** Calls back on each Ctrl-C instead of ending the process, until the returned function is called. */
  onInterrupt(listener: () => void): () => void;
  exit(code: number): never;
  /** Becomes another program; comes back only in tests. */
  exec(file: string, argv: readonly string[], env: Readonly<Record<string, string | undefined>>): void;
}
