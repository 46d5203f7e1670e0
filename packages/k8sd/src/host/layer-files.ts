import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { AppError } from "../lib/app-error.ts";
import { namesIn } from "../lib/read-file.ts";
import { type Layer, parseLayer } from "./pebble-layer.ts";

const fileName = /^(\d{3})-([a-z](?:-?[a-z0-9]){2,})\.yaml$/;
const folderName = /^(\d{3})-([a-z](?:-?[a-z0-9]){2,})\.d$/;

/** The layers of a directory in their order: `NNN-label.yaml`, and one level of `NNN-label.d/MMM-label.yaml`. */
export async function readLayers(directory: string): Promise<readonly Layer[]> {
  const found: { order: number; label: string; path: string }[] = [];
  for (const entry of await namesIn(directory)) {
    const file = fileName.exec(entry);
    const folder = folderName.exec(entry);
    if (file !== null)
      found.push({ order: 1000 * Number(file[1]), label: file[2] ?? "", path: join(directory, entry) });
    else if (folder !== null) {
      for (const inner of await namesIn(join(directory, entry))) {
        const match = fileName.exec(inner);
        if (match === null) continue;
        const order = 1000 * Number(folder[1]) + Number(match[1]);
        found.push({ order, label: `${folder[2]}/${match[2]}`, path: join(directory, entry, inner) });
      }
    }
  }
  found.sort((a, b) => a.order - b.order);
  found.forEach(({ order, label, path }, index) => {
    const other = found.slice(0, index).find((earlier) => earlier.order === order || earlier.label === label);
    if (other !== undefined) {
      throw new AppError(
        "conflict",
        `cannot order the layers: ${other.path} and ${path} have the same number or label`,
        {
          remedy: "Rename one of them.",
        },
      );
    }
  });
  return Promise.all(found.map(async ({ path }) => parseLayer(path, await readFile(path, "utf8"))));
}
