import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";

/** What users of other distributions suffer, by the number that tests name it with: `[A4]`. */
const complaints: Readonly<Record<string, string>> = {
  A1: "A machine that was removed cannot come back: its join times out, and the token is gone with the attempt.",
  A2: "Of three control planes that join together one never gets in, and its token is used up.",
  A3: "A worker's token that was made a moment ago is called invalid.",
  A4: "One address in the token that does not answer makes the join fail.",
  A5: "The token holds an address that the joining machine had before, and the join talks to itself.",
  A6: "A member that was killed and not removed makes every later join fail, and the lists of members differ from then on.",
  A7: "A join that fails is not taken back.",
  A8: "“Invalid token” stands for anything, a host name that does not resolve for example; the failed attempt spends the token.",
  A9: "“The joining node is already known”: the way out is to stop the whole cluster.",
  A10: "Adding a node while another one is dead takes the cluster down.",
  A11: "The caller gave up waiting, the node did join, and nothing brings the two together again.",
  A12: "The token is given back too late to count, and files of the failed attempt block every other.",
  A13: "A token can be neither shown again nor taken back.",
  A14: "There is no way to add a third server while a dead one is still a member of etcd.",
  A15: "A join needs three secrets, each with a life of its own.",
  B16: "Kubernetes does not know the node any more, the distribution does, and will not have it back.",
  B17: "A node that removes itself ends in a broken connection.",
  B18: "Whoever uninstalls before removing leaves a member behind that nobody reaches.",
  B19: "After a node has gone the rest waits for it.",
  B20: "Three lists of members drift apart, and operations are refused until a person repairs them.",
  B21: "A removed node stays in a file somewhere and is called forever; its address cannot be used again.",
  B22: "A crashed node cannot be removed, because the command wants to see it first.",
  B23: "etcd's members are not those of the cluster; files have to be deleted by hand on the removed machine.",
  C24: "Without a quorum status hangs, and the way back is to edit files.",
  C25: "Recovery is asked for over years; members with old data have to have it replaced by hand.",
  C26: "After a reset the other servers cannot come back until their data is deleted by hand.",
  C27: "How to recover is written nowhere.",
  F39: "A server does not start after its address changed.",
  F40: "A cluster that is moved to another network has to be made anew.",
  F41: "A host that was renamed, or has capitals in its name, is not found under the name that others have for it.",
  F42: "What is kept by the node's name is lost when the host gets another one.",
  G43: "One token never expires, is an encryption key too, and whoever has it has the cluster.",
  G44: "Tokens cannot be listed and not be made invalid when one is lost.",
  G45: "Nobody can tell tokens for one node, for a name and for many apart.",
  G46: "Whom the joining node trusts depends on flags that override each other without a word.",
  J57: "A proxy that is set for downloads gets the traffic between the nodes.",
  J58: "Only one server can be named, and nodes do not start while that one is down.",
  J59: "Nodes do not find each other, and nothing says why.",
};

const repository = join(import.meta.dirname, "..");
const tag = /\[([A-Z]\d+)\]/g;
/** A name of a test, as a literal of one line; what is filled in when the test runs is left out of the page. */
const literal = /(["'`])((?:\\.|(?!\1).)*\[[A-Z]\d+\](?:\\.|(?!\1).)*)\1/g;

export interface Promised {
  readonly file: string;
  readonly name: string;
}

/** Tests by the complaint that they are about. */
async function promisesByComplaint(): Promise<ReadonlyMap<string, readonly Promised[]>> {
  const found = new Map<string, Promised[]>();
  for (const file of await testFiles()) {
    const text = await readFile(join(repository, file), "utf8");
    for (const { index, 2: name = "" } of text.matchAll(literal)) {
      const promised = { file, name: plain(`${groupBefore(text, index)}${name}`) };
      for (const [, id = ""] of name.matchAll(tag)) found.set(id, [...(found.get(id) ?? []), promised]);
    }
  }
  return found;
}

/** What the tests of a group are about stands in front of them. */
function groupBefore(text: string, index: number): string {
  const titles = [...text.slice(0, index).matchAll(/\bdescribe(?:\.\w+\([^\n]*?\))?\(\s*(["'`])((?:\\.|(?!\1).)*)\1/g)];
  const title = titles.at(-1)?.[2];
  return title === undefined ? "" : `${title} ▸ `;
}

async function testFiles(): Promise<readonly string[]> {
  const folders = [join(repository, "test"), ...(await testFolders())];
  const files = await Promise.all(
    folders.map(async (folder) =>
      (await readdir(folder, { recursive: true })).map((name) => relative(repository, join(folder, name))),
    ),
  );
  return files
    .flat()
    .filter((name) => name.endsWith(".test.ts") && !name.includes("node_modules"))
    .sort();
}

async function testFolders(): Promise<readonly string[]> {
  const packages = await readdir(join(repository, "packages"));
  const folders = packages.map((name) => join(repository, "packages", name, "test"));
  const there = await Promise.all(
    folders.map((folder) =>
      readdir(folder).then(
        () => [folder],
        () => [],
      ),
    ),
  );
  return there.flat();
}

function plain(name: string): string {
  return name
    .replaceAll(tag, "")
    .replaceAll(/\$\{[^}]*\}/g, "…")
    .replaceAll(/"?\$[a-z]\w*"?/g, "…")
    .replaceAll(/\\(.)/g, "$1")
    .replaceAll(/…+/g, "…")
    .replaceAll(/\s+/g, " ")
    .trim();
}

export interface ComplaintsPage {
  readonly lines: readonly (readonly [complaint: string, tests: string])[];
  /** Complaints without a test, and tags that stand for nothing. */
  readonly problems: readonly string[];
}

export async function complaintsTable(): Promise<ComplaintsPage> {
  const promises = await promisesByComplaint();
  const lines = Object.entries(complaints).map(([id, text]): [string, string] => {
    const tests = (promises.get(id) ?? []).map(
      ({ file, name }) => `${name} ([${file.split("/").slice(-2).join("/")}](../../${file}))`,
    );
    return [`**${id}** ${text}`, [...new Set(tests)].join("<br>")];
  });
  const problems = [
    ...Object.keys(complaints)
      .filter((id) => !promises.has(id))
      .map((id) => `no test is tagged [${id}]`),
    ...[...promises.keys()]
      .filter((id) => !(id in complaints))
      .map((id) => `[${id}] of a test is no complaint of docs/complaints.ts`),
  ];
  return { lines, problems };
}
