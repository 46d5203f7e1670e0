/** What a source needs to know to put a program's files below `tree`, in the layout of the result. */
export interface SourceContext {
  /** Gets `bin/…` or `usr/…`. */
  readonly tree: string;
  /** For temporary files, on the same file system as `tree`. */
  readonly scratch: string;
  /** Go's and Debian's name of the processor: amd64 or arm64. */
  readonly architecture: string;
  readonly signal: AbortSignal;
  readonly report: (line: string) => void;
}

export interface Obtained {
  readonly version: string;
  /** Where it came from, for people: `forky containerd 2.1.9+ds1-5`. */
  readonly detail: string;
}
