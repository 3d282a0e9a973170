import { AppError } from "@tollgate/errors";
import type { z } from "zod";
import { toAudit } from "./audit.ts";
import { toAuth } from "./auth.ts";
import { toConnectors } from "./connectors.ts";
import {
  type Mistake,
  offsetOfKey,
  parseSource,
  type Path,
  placeOf,
  type SourceDocument,
  valuesOf,
} from "./document.ts";
import { documentsRefused, type ReadDocument } from "./documents.ts";
import { coverEntries, type EntryKey, findVariableMistakes, type OverlayEntry } from "./entries.ts";
import { withInstallation } from "./installation.ts";
import { toMetering } from "./metering.ts";
import { toOpa } from "./opa.ts";
import { type Filled, fillPlaceholders, type ReadSecret, type ReadServerSecret } from "./placeholders.ts";
import { findReferenceMistakes } from "./references.ts";
import { toRiskLevels } from "./risk.ts";
import { fileSchema, KNOWN_KEYS, type ParsedFile } from "./schema.ts";
import { toSecretStores } from "./secret-stores.ts";
import { secretsFrom } from "./secret-files.ts";
import { findServerKeyMistakes } from "./server-keys.ts";
import { explainWithheld, serverAt } from "./server-secrets.ts";
import { toServers } from "./servers.ts";
import { type DesiredState, type Section, SECTIONS, SERVER_TYPES } from "./state.ts";
import { toSsl } from "./ssl.ts";
import { nearest } from "./suggestion.ts";
import { toTenants } from "./tenants.ts";
import { toToolSets } from "./tool-sets.ts";

const MISTAKES_SHOWN_MAX = 50;
const MIB = 1024 * 1024;

export interface LoadOptions {
  /** Names the file in messages; relative paths in the file start at its folder. */
  readonly file: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** For `${secret:NAME}`; without it there are none. */
  readonly readSecret?: ReadSecret;
  /** The same for what servers' entries name; without it these are read like all others. */
  readonly readServerSecret?: ReadServerSecret;
  /** For files that connectors name; without it there are none. */
  readonly readDocument?: ReadDocument;
  /**
   * The sections that the reader needs. Others stay empty, and their variables need not be in its environment; they are
   * checked all the same.
   */
  readonly sections?: readonly Section[];
  /** What stands over the file's entries. */
  readonly overlay?: readonly OverlayEntry[];
  /** Whole sections that stand for the text's own. */
  readonly instead?: Readonly<Record<string, unknown>>;
  /**
   * Entries that have no folder where relative paths could start, and that must not name the installation's own
   * variables: those of the overlay, where it is not said.
   */
  readonly isOfApi?: (entry: EntryKey) => boolean;
}

/**
 * Reads the text of a tollgate.yaml.
 * @throws {AppError} `invalid_argument` listing every mistake with file:line:column and path; never with a value
 */
export function loadDesiredState(text: string, options: LoadOptions): DesiredState {
  const sections = options.sections ?? SECTIONS;
  const { source: read, mistakes } = parseSource(text);
  if (mistakes.length > 0) throw mistaken(mistakes, read, options.file);

  const { overlay = [], instead = {} } = options;
  const covered = coverEntries({ ...(valuesOf(read) as Record<string, unknown>), ...instead }, overlay);
  const isOfApi = options.isOfApi ?? (({ kind, id }) => overlay.some((each) => each.kind === kind && each.id === id));
  const source = { ...read, covered };
  const whole = covered.values;
  const written = selectSections(whole, sections);
  mistakes.push(...findVariableMistakes(covered, isOfApi));
  const readSecret = options.readSecret ?? secretsFrom({});
  const filled: Filled[] = [];
  const { env, readServerSecret } = options;
  const filling = { path: [], values: { env, readSecret, readServerSecret }, filled, mistakes };
  const serverOf = (path: Path) => serverAt(written, path);
  const values = fillPlaceholders(written, { ...filling, isLeft, serverAt: serverOf });
  const foreign = Object.fromEntries(Object.entries(whole).filter(([key]) => !(key in written) && whole[key] !== null));
  mistakes.push(...findJointMistakes({ ...foreign, ...(values as object) }, source));
  const parsed = fileSchema.safeParse(values);
  const issues = parsed.success ? [] : parsed.error.issues;
  mistakes.push(
    ...explainWithheld(
      issues.flatMap((issue) => toMistakes(issue, source, values)),
      filled,
    ),
  );
  mistakes.push(...findForeignMistakes(foreign, source));
  if (!parsed.success || mistakes.length > 0) throw mistaken(mistakes, source, options.file);

  const warnings: Mistake[] = [];
  const servers = toServers(parsed.data.mcp_servers, {
    file: options.file,
    tools: parsed.data.tools,
    written: (written["mcp_servers"] ?? []) as Record<string, unknown>[],
    filled: filled.filter(({ path }) => path[0] === "mcp_servers"),
    isOfApi,
    mistakes,
    warnings,
  });
  const connectors = toConnectors(parsed.data.groups, {
    file: options.file,
    tools: parsed.data.tools,
    written: (written["groups"] ?? []) as Record<string, unknown>[],
    filled: filled.filter(({ path }) => path[0] === "groups"),
    readDocument: options.readDocument ?? documentsRefused,
    isOfApi,
    mistakes,
    warnings,
  });
  const hasPolicies = "policies" in whole || !sections.includes("policies");
  const sectioned = toSections(parsed.data, options.file);
  const rest = sections.includes("control_plane")
    ? { ...sectioned, ...withInstallation(sectioned, { env: options.env, hasPolicies, mistakes }) }
    : sectioned;
  if (mistakes.length > 0) throw mistaken(mistakes, source, options.file);
  return {
    ...rest,
    servers: [...servers, ...connectors],
    sections: written,
    warnings: warnings.map((warning) => describe(warning, source, options.file)),
  };
}

/**
 * The sections of a text as they are written, unchecked.
 * @throws {AppError} as loadDesiredState
 */
export function readSections(text: string, { file }: Pick<LoadOptions, "file">): Record<string, unknown> {
  const { source, mistakes } = parseSource(text);
  if (mistakes.length > 0) throw mistaken(mistakes, source, file);
  return valuesOf(source) as Record<string, unknown>;
}

function isLeft([section, , part, of, key]: Path): boolean {
  // Its secrets are read when they are used: whoever follows the file stores it as it is written.
  const isWebhook = section === "limits" && part === "budget" && of === "webhook";
  // Written by somebody else, who may mean something else by ${.
  const isDocument = section === "groups" && part === "connectors" && key === "openapi";
  return isWebhook || isDocument;
}

/** What only shows when entries, or the keys of one, are seen together. */
function findJointMistakes(values: unknown, source: SourceDocument): Mistake[] {
  const mistakes = [...findReferenceMistakes(values), ...findServerKeyMistakes(values, source)];
  return mistakes.filter(({ path }) => !holdsPlaceholder(valueAt(values, path)));
}

/**
 * Mistakes in the sections of other readers: a file is taken by all of them or by none. What their variables and secrets
 * stand for is not known here, so nothing is said of a value that has one.
 */
function findForeignMistakes(sections: Record<string, unknown>, source: SourceDocument): Mistake[] {
  const parsed = fileSchema.safeParse(sections);
  const issues = parsed.success ? [] : parsed.error.issues;
  return issues
    .filter(({ path }) => !holdsPlaceholder(valueAt(sections, path)))
    .flatMap((issue) => toMistakes(issue, source, sections));
}

function valueAt(values: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((at, step) => (at as Record<PropertyKey, unknown> | null | undefined)?.[step], values);
}

function holdsPlaceholder(value: unknown): boolean {
  return (JSON.stringify(value) ?? "").includes("${");
}

/** Unknown sections stay in, to be told as mistakes. */
function selectSections(values: Record<string, unknown>, wanted: readonly Section[]): Record<string, unknown> {
  const unwanted = new Set<string>(SECTIONS.filter((section) => !wanted.includes(section)));
  return Object.fromEntries(
    // A section whose entries are all commented out is null: it is there, and empty.
    Object.entries(values).filter(([key, value]) => !unwanted.has(key) && !(value === null && key in KNOWN_KEYS)),
  );
}

function toSections(parsed: ParsedFile, file: string): Omit<DesiredState, "servers" | "sections" | "warnings"> {
  const { host, port, public_url: publicUrl, ssl, trusted_proxies, auth, opa, limits } = parsed.control_plane;
  return {
    controlPlane: {
      host,
      port,
      publicUrl,
      ssl: ssl && toSsl(ssl, file),
      trustedProxies: trusted_proxies,
      ...toAuth(auth),
      opa: opa && toOpa(opa),
      limits: {
        maxConcurrentRequests: limits.max_concurrent_requests,
        requestTimeoutMs: Math.round(limits.request_timeout_seconds * 1_000),
        maxResponseBytes: Math.round(limits.max_response_size_mb * MIB),
      },
    },
    tenants: toTenants(parsed.plans, parsed.tenants),
    groups: parsed.groups.map(({ id, name }) => ({ id, name: name ?? id })),
    secretStores: toSecretStores(parsed.secrets, file),
    toolSets: toToolSets(parsed.tool_sets),
    riskLevels: toRiskLevels(parsed.risk_levels),
    policies: parsed.policies,
    limits: parsed.limits,
    audit: toAudit(parsed.audit, file),
    metering: toMetering(parsed.metering),
    rateCards: parsed.rate_cards,
  };
}

function toMistakes(issue: z.core.$ZodIssue, source: SourceDocument, values: unknown): Mistake[] {
  const path = issue.path.filter((step) => typeof step !== "symbol");
  const place = keyPlace(path);
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => {
      const offset = offsetOfKey(source, path, key);
      return {
        path: [...path, key],
        message: explainKey(place, key),
        ...(offset === undefined ? {} : { offset }),
      };
    });
  }
  const value = valueAt(values, path);
  if (value === undefined) return [{ path, message: "is missing" }];
  if (place === "mcp_servers.type") return [{ path, message: explainType() }];
  if (issue.code === "invalid_type")
    return [{ path, message: `has to be ${issue.expected}${quoteHint(issue.expected, value)}` }];
  // A key of a record is told by the path itself.
  if (issue.code === "invalid_key") return [{ path, message: issue.issues[0]?.message ?? issue.message }];
  return [{ path, message: issue.message }];
}

function quoteHint(expected: string, value: unknown): string {
  if (expected !== "string" || typeof value === "object") return "";
  return `, not a ${typeof value}: put it in quotes`;
}

/** As in KNOWN_KEYS: without list positions, and without the names of tools and arguments, which are the user's own. */
function keyPlace(path: Path): string {
  const isToolName = (at: number) =>
    (at === 3 && path[0] === "mcp_servers" && path[2] === "tools") ||
    (at === 5 && path[0] === "groups" && path[2] === "connectors" && path[4] === "tools");
  const isArgument = (at: number) => at === 4 && path[0] === "policies" && path[3] === "arguments";
  const place = path.filter((step, at) => typeof step === "string" && !isToolName(at) && !isArgument(at)).join(".");
  // A connector's have the same keys.
  return place.replace(/^groups\.connectors\.tools/, "mcp_servers.tools");
}

function explainKey(place: string, key: string): string {
  const meant = nearest(key, KNOWN_KEYS[place] ?? []);
  return meant === undefined
    ? `is not a known key; known are ${KNOWN_KEYS[place]?.join(", ")}`
    : `is not a known key; is "${meant}" meant?`;
}

function explainType(): string {
  return `is not a type of server; supported are ${SERVER_TYPES.join(", ")}`;
}

/** Of an entry of the overlay that is not as it should be, beside what is in the file. */
export interface Misfit extends EntryKey {
  readonly mistake: string;
}

/** `details` hold the `mistakes` as texts; where there is an overlay, also all its `misfits`, and how many are `others`. */
function mistaken(mistakes: readonly Mistake[], source: SourceDocument, file: string): AppError {
  // One place, one mistake: what follows from a first mistake at the same place only distracts.
  const byPath = new Map<string, Mistake>();
  for (const mistake of mistakes) {
    const key = mistake.path.length === 0 ? String(mistake.offset) : pathText(mistake.path);
    if (!byPath.has(key)) byPath.set(key, mistake);
  }
  const lines = [...byPath.values()].slice(0, MISTAKES_SHOWN_MAX).map((mistake) => describe(mistake, source, file));
  const count = byPath.size === 1 ? "a mistake" : `${byPath.size} mistakes`;
  const misfits = [...byPath.values()].flatMap((mistake): Misfit[] => {
    const entry = source.covered?.inFile(mistake.path) === undefined && source.covered?.entryAt(mistake.path);
    return entry ? [{ ...entry, mistake: describe(mistake, source, file) }] : [];
  });
  return new AppError("invalid_argument", `the configuration file has ${count}:\n  ${lines.join("\n  ")}`, {
    details: { mistakes: lines, ...(misfits.length === 0 ? {} : { misfits, others: byPath.size - misfits.length }) },
  });
}

function describe(mistake: Mistake, source: SourceDocument, file: string): string {
  const { covered } = source;
  const path = covered === undefined ? mistake.path : covered.inFile(mistake.path);
  if (path === undefined) {
    const entry = covered!.entryAt(mistake.path);
    const place = pathText(mistake.path.slice(2)).replace(/^\./, "");
    return `${entry?.kind.replace("_", " ")} "${entry?.id}": ${[place, mistake.message].filter(Boolean).join(" ")}`;
  }
  const { line, column } = placeOf(source, mistake);
  return `${file}:${line}:${column}: ${[pathText(path), mistake.message].filter(Boolean).join(" ")}`;
}

function pathText(path: Path): string {
  return path.map((step, index) => (typeof step === "number" ? `[${step}]` : index === 0 ? step : `.${step}`)).join("");
}
