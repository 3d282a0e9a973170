import { isDeepStrictEqual } from "node:util";
import { stateV1 } from "@tollgate/contracts";
import {
  documentsBeside,
  ENTRY_KINDS,
  entriesIn,
  type EntryKey,
  HIDDEN,
  loadDesiredState,
  readSections,
  SECTION_OF,
  type WrittenEntry,
} from "@tollgate/desired-state";
import { type Log, unary } from "@tollgate/service";
import { parseEntry } from "../domain/entry-text.ts";
import { followUpOf } from "../domain/follow-up.ts";
import { driftOf, type EntryValue, isSameValue, keyOf, valueInForce } from "../domain/layers.ts";
import type { Catalogue } from "./catalogue.ts";
import { REGISTRY_SECTIONS } from "./desired-file.ts";
import { inForce, mistakenEntry, openedValue, shownText, withHidden } from "./entries-grpc.ts";
import { authorOf, type Declared, type Entries, type EntryChange } from "./entries.ts";

/** Sections that servers and tenants refer to, and that the file alone says. */
const FILES_OWN = ["plans", "tools", "secrets"];

interface Options {
  readonly entries: Entries;
  readonly catalogue: Catalogue;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** In whose folder the file's own entries have theirs. */
  readonly configFile: string;
  readonly log: Log;
}

/** StateService of proto/tollgate/state/v1, for groups, servers, tool sets and tenants. */
export function createStateService(options: Options): {
  definition: stateV1.StateServiceService;
  implementation: stateV1.StateServiceServer;
} {
  const { entries, log } = options;
  return {
    definition: stateV1.StateServiceService,
    implementation: {
      reconcile: unary(log, async (request) => {
        const answer = await reconcile(request, options);
        const { name, actor, dryRun } = request;
        log.info({ name, actor, dryRun, changes: answer.changes.length }, "document reconciled");
        return answer;
      }),
      getDrift: unary(log, async () => ({ items: driftIn(await entries.read()) })),
    },
  };
}

/** What a document changes, one entry after the other. */
interface Planned extends EntryChange {
  readonly before: EntryValue | undefined;
}

async function reconcile(
  request: stateV1.ReconcileRequest,
  { entries, catalogue, ...around }: Options,
): Promise<stateV1.ReconcileResponse> {
  const { document, dryRun, prune } = request;
  const file = request.name || "document";
  let planned: readonly Planned[] = [];
  let warnings: readonly string[] = [];
  const plan = (declared: Declared): readonly EntryChange[] => {
    const sections = readSections(document, { file });
    const wanted = restoredIn(sections, declared);
    planned = changesOf(sections, { declared, wanted, prune });
    warnings = checkDocument({ document, file, sections, declared, wanted, planned, ...around });
    return planned;
  };
  // As they are before: servers that go take theirs along.
  const tools = new Map(catalogue.latest.value.servers.map(({ id, tools: all }) => [id, all.length]));
  const { revision, before, after } = await entries.change(plan, { ...authorOf(request), dryRun });
  const sides = { before, after, toolsOf: (server: string) => tools.get(server) ?? 0 };
  return {
    changes: planned.map((each) => ({
      kind: each.kind,
      id: each.id,
      change: each.before === undefined ? "create" : each.value === undefined ? "delete" : "update",
      before: shownText(each, each.before),
      after: shownText(each, each.value),
      note: followUpOf(each, sides),
    })),
    warnings: [...warnings],
    revision,
  };
}

/** Creations and changes kind by kind, then what is to go, the other way round: nobody needs what goes any more. */
function changesOf(
  sections: Readonly<Record<string, unknown>>,
  { declared, wanted, prune }: { declared: Declared; wanted: readonly WrittenEntry[]; prune: boolean },
): Planned[] {
  const standing = new Map(inForce(declared).map((each) => [keyOf(each.key), each]));
  const put = wanted.flatMap((entry): Planned[] => {
    const before = standing.get(keyOf(entry))?.value;
    return before !== undefined && isSameValue(before, entry.value) ? [] : [{ ...entry, before }];
  });
  if (!prune) return put;
  const kept = new Set(wanted.map(keyOf));
  const kinds = ENTRY_KINDS.filter((kind) => Array.isArray(sections[SECTION_OF[kind]]));
  const gone = [...standing.values()]
    .filter(({ key }) => kinds.includes(key.kind) && !kept.has(keyOf(key)))
    .map(({ key, value }): Planned => ({ ...key, value: undefined, before: value }));
  return [...put, ...ENTRY_KINDS.toReversed().flatMap((each) => gone.filter(({ kind }) => kind === each))];
}

/** The document's entries; what is hidden in them is what it was. */
function restoredIn(sections: Readonly<Record<string, unknown>>, declared: Declared): WrittenEntry[] {
  const standing = new Map(inForce(declared).map((each) => [keyOf(each.key), each]));
  return entriesIn(sections).map((entry) => {
    const before = openedValue(standing.get(keyOf(entry)));
    const parsed = parseEntry(JSON.stringify(entry.value), entry);
    if (!parsed.ok) throw mistakenEntry(entry, [parsed.reason]);
    return { ...entry, value: withHidden(entry, parsed.value, before) };
  });
}

/**
 * The document as if it were the file, with what is in force beside it: so that mistakes are told with their places.
 * @returns what is allowed but unwise
 * @throws {AppError} invalid_argument with `mistakes`
 */
function checkDocument(options: {
  document: string;
  file: string;
  sections: Readonly<Record<string, unknown>>;
  declared: Declared;
  wanted: readonly WrittenEntry[];
  planned: readonly Planned[];
  env: Options["env"];
  configFile: string;
}): string[] {
  const { document, file, sections, declared, planned, env, configFile } = options;
  const written = new Map(options.wanted.map((each) => [keyOf(each), each]));
  const hiding = entriesIn(sections).filter(({ value }) => JSON.stringify(value).includes(JSON.stringify(HIDDEN)));
  const restored = hiding.map((each) => written.get(keyOf(each))!);
  const gone = new Set(planned.filter(({ value }) => value === undefined).map(keyOf));
  const beside = inForce(declared)
    .filter(({ key }) => !written.has(keyOf(key)) && !gone.has(keyOf(key)))
    .flatMap(({ key, value, ofFile, known }) => {
      const isIn = known.problem === "" ? value : ofFile;
      return isIn === undefined ? [] : [{ ...key, value: isIn }];
    });
  const meant = new Map([...beside, ...written.values()].map((each) => [keyOf(each), each.value]));
  // What the file says as well has the file's folder and variables.
  const isOfApi = (key: EntryKey): boolean => {
    const [said, value] = [declared.file.get(keyOf(key))?.value, meant.get(keyOf(key))];
    return said === undefined || value === undefined || !isSameValue(said, value);
  };
  const { warnings } = loadDesiredState(document, {
    file,
    env,
    sections: REGISTRY_SECTIONS,
    overlay: [...beside, ...restored],
    instead: Object.fromEntries(FILES_OWN.map((section) => [section, declared.sections[section] ?? null])),
    isOfApi,
    readDocument: documentsBeside(configFile),
    // Whether a secret is there shows when its server is to run.
    readServerSecret: () => ({ ok: false, reason: "is not looked at", withheld: true }),
  });
  const unheeded = FILES_OWN.filter(
    (section) => section in sections && !isDeepStrictEqual(sections[section], declared.sections[section]),
  );
  return [
    ...warnings,
    ...unheeded.map((section) => `${section}: is the configuration file's alone; what the document says is not taken`),
  ];
}

function driftIn({ known, file }: Declared): stateV1.Drift[] {
  return [...known.values()].flatMap((entry) => {
    const drift = driftOf(entry);
    if (drift === "") return [];
    const { kind, id, updatedBy, updatedAtMs, problem } = entry;
    const ofFile = file.get(keyOf(entry))?.value;
    return [
      {
        kind,
        id,
        drift,
        fileEntry: shownText(entry, ofFile),
        entry: shownText(entry, valueInForce(entry, ofFile)),
        updatedBy,
        updatedAtMs: BigInt(updatedAtMs),
        problem,
      },
    ];
  });
}
