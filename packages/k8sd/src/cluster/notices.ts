/** What keeps a node from being well until a person acts. */
export interface Notice {
  /** One word for programs. */
  readonly reason: string;
  /** What happened, and what to do. */
  readonly message: string;
}

/** What the loops of this node found, by the name of the condition that is not met; for its status. In memory: they look again. */
export interface Notices {
  /** @param notice undefined: it is over. */
  set(name: string, notice: Notice | undefined): void;
  all(): readonly (Notice & { readonly name: string })[];
}

export function createNotices(): Notices {
  const notices = new Map<string, Notice>();
  return {
    set: (name, notice) => {
      if (notice === undefined) notices.delete(name);
      else notices.set(name, notice);
    },
    all: () => [...notices].map(([name, notice]) => ({ name, ...notice })),
  };
}
