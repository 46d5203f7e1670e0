import { readFile } from "node:fs/promises";
import { AppError } from "@k8sd/k8sd/lib/app-error.ts";
import { parse } from "yaml";

export type SourceName = "release" | "debian" | "go";

interface Release {
  readonly version: string;
  readonly url: string;
  readonly checksum: string;
  /** Where a program lies in the archive; absent when the download is the program itself. */
  readonly archivePath?: string;
}

interface DebianPackages {
  readonly suites: readonly string[];
  readonly packages: readonly string[];
  readonly minimum: string;
  readonly below?: string;
  readonly path: string;
  /** A folder of bin/ that gets all that the packages hold: for a program that looks for its other files beside it. */
  readonly into?: string;
}

export interface GoModule {
  readonly version: string;
  readonly directory: string;
  /** One binary for all files, chosen by the name it is called by. */
  readonly multiCall?: string;
  /** Or the package that each file is built from. */
  readonly packages?: Readonly<Record<string, string>>;
  readonly variables: Readonly<Record<string, string>>;
}

export interface Program {
  readonly name: string;
  readonly version: string;
  readonly files: readonly string[];
  /** Only for those who ask for it by name. */
  readonly optional: boolean;
  readonly probe?: readonly string[];
  readonly sources: readonly SourceName[];
  readonly release?: Release;
  readonly debian?: DebianPackages;
  readonly go?: GoModule;
}

export interface HostLayer {
  readonly suites: readonly string[];
  readonly packages: readonly string[];
  readonly minimum: string;
  readonly files: readonly string[];
}

export interface DebianArchive {
  readonly mirror: string;
  readonly securityMirror: string;
  readonly keyring: string;
  readonly stable: readonly string[];
}

export interface Manifest {
  readonly programs: readonly Program[];
  readonly hostLayer: HostLayer;
  readonly debian: DebianArchive;
}

export async function readManifest(path: string): Promise<Manifest> {
  return parseManifest(await readFile(path, "utf8"), path);
}

/** Unknown keys are errors, so that a misspelled setting cannot be ignored in silence. */
export function parseManifest(text: string, file: string): Manifest {
  const root = fields(parse(text), file, ["programs", "hostLayer", "debian"]);
  const programs = Object.entries(fields(root.programs, "programs")).map(([name, value]) => program(name, value));
  const layer = fields(root.hostLayer, "hostLayer", ["suites", "packages", "minimum", "files"]);
  const debian = fields(root.debian, "debian", ["mirror", "securityMirror", "keyring", "stable"]);
  return {
    programs,
    hostLayer: {
      suites: texts(layer.suites, "hostLayer.suites"),
      packages: texts(layer.packages, "hostLayer.packages"),
      minimum: textOf(layer.minimum, "hostLayer.minimum"),
      files: texts(layer.files, "hostLayer.files"),
    },
    debian: {
      mirror: textOf(debian.mirror, "debian.mirror"),
      securityMirror: textOf(debian.securityMirror, "debian.securityMirror"),
      keyring: textOf(debian.keyring, "debian.keyring"),
      stable: texts(debian.stable, "debian.stable"),
    },
  };
}

function program(name: string, value: unknown): Program {
  const at = `programs.${name}`;
  const own = fields(value, at, ["version", "files", "optional", "probe", "sources", "release", "debian", "go"]);
  const sources = texts(own.sources, `${at}.sources`).map((source) => {
    if (source !== "release" && source !== "debian" && source !== "go") {
      throw invalid(`${at}.sources`, "release, debian or go");
    }
    if (own[source] === undefined) throw invalid(`${at}.${source}`, `given, because ${at}.sources names it`);
    return source;
  });
  return {
    name,
    version: textOf(own.version, `${at}.version`),
    files: texts(own.files, `${at}.files`),
    sources,
    optional: own.optional === true,
    ...(own.probe === undefined ? {} : { probe: texts(own.probe, `${at}.probe`) }),
    ...(own.release === undefined ? {} : { release: release(own.release, `${at}.release`) }),
    ...(own.debian === undefined ? {} : { debian: debianPackages(own.debian, `${at}.debian`) }),
    ...(own.go === undefined ? {} : { go: goModule(own.go, `${at}.go`) }),
  };
}

function release(value: unknown, at: string): Release {
  const own = fields(value, at, ["version", "url", "checksum", "archivePath"]);
  return {
    version: textOf(own.version, `${at}.version`),
    url: textOf(own.url, `${at}.url`),
    checksum: textOf(own.checksum, `${at}.checksum`),
    ...(own.archivePath === undefined ? {} : { archivePath: textOf(own.archivePath, `${at}.archivePath`) }),
  };
}

function debianPackages(value: unknown, at: string): DebianPackages {
  const own = fields(value, at, ["suites", "packages", "minimum", "below", "path", "into"]);
  return {
    suites: texts(own.suites, `${at}.suites`),
    packages: texts(own.packages, `${at}.packages`),
    minimum: textOf(own.minimum, `${at}.minimum`),
    path: textOf(own.path, `${at}.path`),
    ...(own.below === undefined ? {} : { below: textOf(own.below, `${at}.below`) }),
    ...(own.into === undefined ? {} : { into: textOf(own.into, `${at}.into`) }),
  };
}

function goModule(value: unknown, at: string): GoModule {
  const own = fields(value, at, ["version", "directory", "multiCall", "packages", "variables"]);
  if ((own.multiCall === undefined) === (own.packages === undefined)) {
    throw invalid(at, "given with either multiCall or packages");
  }
  return {
    version: textOf(own.version, `${at}.version`),
    directory: textOf(own.directory, `${at}.directory`),
    ...(own.multiCall === undefined ? {} : { multiCall: textOf(own.multiCall, `${at}.multiCall`) }),
    ...(own.packages === undefined ? {} : { packages: textMap(own.packages, `${at}.packages`) }),
    variables: own.variables === undefined ? {} : textMap(own.variables, `${at}.variables`),
  };
}

function textMap(value: unknown, at: string): Readonly<Record<string, string>> {
  const entries = Object.entries(fields(value, at));
  return Object.fromEntries(entries.map(([key, entry]) => [key, textOf(entry, `${at}.${key}`)]));
}

function fields(value: unknown, at: string, known?: readonly string[]): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid(at, "a map");
  const own = value as Record<string, unknown>;
  const unknown = known === undefined ? undefined : Object.keys(own).find((key) => !known.includes(key));
  if (unknown !== undefined) throw new AppError("invalid", `cannot use ${at}: unknown key ${unknown}`, { field: at });
  return own;
}

function texts(value: unknown, at: string): readonly string[] {
  if (!Array.isArray(value) || value.length === 0) throw invalid(at, "a list that is not empty");
  return value.map((entry: unknown, index) => textOf(entry, `${at}[${index}]`));
}

function textOf(value: unknown, at: string): string {
  if (typeof value !== "string" || value === "") throw invalid(at, "a text (quote numbers)");
  return value;
}

function invalid(field: string, wanted: string): AppError {
  return new AppError("invalid", `cannot use snap/components.yaml: ${field} must be ${wanted}`, { field });
}

/** Fills {name} in a template; a name that is not given is a mistake in the file. */
export function fillTemplate(template: string, values: Readonly<Record<string, string>>): string {
  return template.replaceAll(/\{(\w+)\}/g, (_, key: string) => {
    const value = values[key];
    if (value === undefined) throw invalid(template, `without {${key}}`);
    return value;
  });
}
