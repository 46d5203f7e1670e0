/** Ends the command with exit code 1; `text` goes to stderr as it is. */
export class CliError extends Error {
  readonly text: string;

  constructor(text: string, options: { readonly cause?: unknown } = {}) {
    super(text, options);
    this.text = text;
  }
}

/** "Error: what" and below it why. */
export function failed(what: string, cause: unknown): CliError {
  const message = messageOf(cause);
  const remedy = message.endsWith(": this action is restricted on workers") ? ". Run it on a control plane." : "";
  return new CliError(`Error: ${what}\n\nThe error was: ${message}${remedy}\n`, { cause });
}

/** What to do with an error of which the user is told that `what` came of it. */
export function failing(what: string): (cause: unknown) => never {
  return (cause) => {
    throw failed(what, cause);
  };
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
