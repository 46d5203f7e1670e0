import type { OperationEvent } from "@k8sd/api-types";

export interface ProgressDeps {
  write(text: string): void;
  /** undefined: no terminal, so one line per finished step and nothing is rewritten. */
  readonly terminal: { readonly columns: number } | undefined;
  now(): number;
}

export interface Progress {
  show(event: OperationEvent): void;
  /** A line of its own between the steps. */
  say(text: string): void;
  /** Leaves the line of a step that is still running. */
  close(): void;
}

const clearLine = "\r\u001b[K";

/** Shows the steps of an operation as they happen. */
export function createProgress(deps: ProgressDeps): Progress {
  /** A caller that reconnects is told again what it has seen. */
  const shown = new Set<string>();
  let current: { readonly event: OperationEvent; readonly since: number } | undefined;
  let timer: NodeJS.Timeout | undefined;

  function clear(): void {
    if (deps.terminal !== undefined && current !== undefined) deps.write(clearLine);
  }

  function draw(): void {
    if (deps.terminal === undefined || current === undefined) return;
    const line = stepLine({ ...current.event, elapsedMs: deps.now() - current.since });
    deps.write(`${clearLine}${line.slice(0, Math.max(20, deps.terminal.columns - 1))}`);
  }

  function close(): void {
    clear();
    clearInterval(timer);
    timer = undefined;
    current = undefined;
  }

  return {
    close,
    say(text) {
      clear();
      deps.write(`${text}\n`);
      draw();
    },
    show(event) {
      const key = `${event.operation} ${event.step} ${event.state}`;
      if (isFinal(event)) {
        if (shown.has(key)) return;
        shown.add(key);
        close();
        deps.write(`${stepLine(event)}\n`);
        return;
      }
      if (deps.terminal === undefined || shown.has(`${event.operation} ${event.step} ${finalOf(event)}`)) return;
      current = { event, since: deps.now() - event.elapsedMs };
      draw();
      timer ??= setInterval(draw, 1_000).unref();
    },
  };
}

function isFinal(event: OperationEvent): boolean {
  return event.state === "done" || event.state === "failed" || event.state === "undone";
}

function finalOf(event: OperationEvent): OperationEvent["state"] {
  return event.state === "undoing" ? "undone" : "done";
}

/** `  [ 3/12] Write certificates ... 0.04 s` */
export function stepLine(event: OperationEvent): string {
  const position = `[${String(event.step).padStart(String(event.of).length)}/${event.of}]`;
  const seconds = `${(event.elapsedMs / 1000).toFixed(2)} s`;
  const note = event.note === undefined || event.note === "" ? "" : event.note;
  const end = {
    started: seconds,
    progress: note === "" ? seconds : `${seconds}, ${note}`,
    done: note === "" ? seconds : `${seconds} (${note})`,
    failed: `failed after ${seconds}${note === "" ? "" : `: ${note}`}`,
    undoing: `undoing, ${seconds}`,
    undone: `undone in ${seconds}`,
  }[event.state];
  return `  ${position} ${event.title} ... ${end}`;
}
