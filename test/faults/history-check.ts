/** "unknown": the command did not say that it worked; it may have, in part or wholly. */
export type Outcome = "ok" | "unknown";

export interface Operation {
  readonly kind: "join" | "remove";
  /** Address of the host that is to join or to go. */
  readonly node: string;
  readonly name: string;
  /** Of a join. */
  readonly token?: string;
  readonly beganAt: number;
  readonly endedAt: number;
  readonly outcome: Outcome;
  readonly said: string;
}

export interface KnownMember {
  readonly address: string;
  readonly name: string;
  readonly state: string;
}

/** What the ledger said at some moment between two. */
export interface Sighting {
  readonly beganAt: number;
  readonly endedAt: number;
  readonly members: readonly KnownMember[];
}

export interface History {
  readonly operations: readonly Operation[];
  readonly sightings: readonly Sighting[];
  /** Uses that each token was made for. */
  readonly tokens: Readonly<Record<string, number>>;
  /** When all was quiet again. */
  readonly end: {
    readonly members: readonly KnownMember[];
    /** Name by address: what the hosts say that they are. */
    readonly own: Readonly<Record<string, string>>;
    /** Uses that the cluster counted, by token. */
    readonly used: Readonly<Record<string, number>>;
  };
}

/** What the history shows that must never happen; empty: nothing. */
export function violations(history: History): readonly string[] {
  return [...overused(history), ...sharedNames(history), ...lost(history), ...undead(history)];
}

function overused({ operations, tokens, end }: History): readonly string[] {
  return Object.entries(tokens).flatMap(([token, uses]) => {
    const joined = operations.filter((each) => each.kind === "join" && each.token === token && each.outcome === "ok");
    const counted = end.used[token] ?? 0;
    return [
      ...(joined.length > uses
        ? [`token ${token} for ${uses} let in ${joined.map(({ node }) => node).join(", ")}`]
        : []),
      ...(counted > uses ? [`token ${token} for ${uses} was counted ${counted} times`] : []),
      ...(joined.length > counted && token in end.used
        ? [`token ${token} let in ${joined.length} and counted ${counted}`]
        : []),
    ];
  });
}

function sharedNames({ sightings, end }: History): readonly string[] {
  const own = Object.values(end.own);
  return [
    ...sightings.flatMap(({ beganAt, members }) =>
      duplicates(members.map(({ name }) => name)).map((name) => `two were ${name} at ${beganAt}`),
    ),
    ...duplicates(own).map((name) => `two hosts say that they are ${name}`),
  ];
}

/** Joined for all to see, nobody took it out, and it is not there. */
function lost({ operations, sightings, end }: History): readonly string[] {
  return operations.flatMap((join) => {
    if (join.kind !== "join" || join.outcome !== "ok") return [];
    const removal = operations.find(
      ({ kind, node, beganAt }) => kind === "remove" && node === join.node && beganAt >= join.endedAt,
    );
    const until = removal?.beganAt ?? Number.POSITIVE_INFINITY;
    const isThere = (members: readonly KnownMember[]): boolean =>
      members.some(({ address, name, state }) => address === join.node && name === join.name && state === "active");
    const missing = sightings.find(
      (sighting) => sighting.beganAt > join.endedAt && sighting.endedAt < until && !isThere(sighting.members),
    );
    if (missing !== undefined) return [`${join.node} joined as ${join.name} and was not there at ${missing.beganAt}`];
    if (removal !== undefined) return [];
    return [
      ...(isThere(end.members) ? [] : [`${join.node} joined as ${join.name} and is not there at the end`]),
      ...(end.own[join.node] === join.name
        ? []
        : [`${join.node} joined as ${join.name} and says it is ${end.own[join.node]}`]),
    ];
  });
}

/** Taken out for all to see, it did not come again, and it is still there. */
function undead({ operations, end }: History): readonly string[] {
  return operations.flatMap(({ kind, node, name, outcome, endedAt }) => {
    const cameAgain = operations.some((each) => each.kind === "join" && each.node === node && each.endedAt > endedAt);
    if (kind !== "remove" || outcome !== "ok" || cameAgain) return [];
    return [
      ...(end.members.some(({ address }) => address === node) ? [`${node} was removed and is still there`] : []),
      ...(end.own[node] === undefined ? [] : [`${node} was removed as ${name} and says it is ${end.own[node]}`]),
    ];
  });
}

function duplicates(values: readonly string[]): readonly string[] {
  return [...new Set(values.filter((value, index) => values.indexOf(value) !== index))];
}
