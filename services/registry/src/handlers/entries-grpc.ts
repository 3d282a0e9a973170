import { entriesV1 } from "@tollgate/contracts";
import { ENTRY_KINDS, type EntryKey, hideSecretsOf, keepHidden } from "@tollgate/desired-state";
import { AppError } from "@tollgate/errors";
import { type Log, unary } from "@tollgate/service";
import { parseEntry } from "../domain/entry-text.ts";
import { driftOf, type EntryValue, keyOf, valueInForce } from "../domain/layers.ts";
import { authorOf, type Declared, type Entries, type EntryChange } from "./entries.ts";
import type { KnownEntry } from "./known-entries.ts";

/** EntryService of proto/tollgate/registry/v1. */
export function createEntryService(options: { entries: Entries; log: Log }): {
  definition: entriesV1.EntryServiceService;
  implementation: entriesV1.EntryServiceServer;
} {
  const { entries, log } = options;
  return {
    definition: entriesV1.EntryServiceService,
    implementation: {
      listEntries: unary(log, async ({ kind, id }) => {
        const { revision, ...declared } = await entries.read();
        const meant = inForce(declared).filter(
          ({ key }) => ["", key.kind].includes(kind) && (id === "" || id === key.id),
        );
        return { entries: meant.map(toEntry), revision };
      }),
      putEntry: unary(log, async (request) => {
        const answer = await putEntry(request, entries);
        const { kind, id, actor } = request;
        log.info({ kind, id, actor, revision: String(answer.revision) }, "entry put");
        return answer;
      }),
      deleteEntry: unary(log, async (request) => {
        const answer = await deleteEntry(request, entries);
        const { kind, id, actor } = request;
        log.info({ kind, id, actor, revision: String(answer.revision) }, "entry deleted");
        return answer;
      }),
    },
  };
}

/** An entry that is there. */
interface Standing {
  readonly key: EntryKey;
  /** In force, or set aside: `known.problem` says why. */
  readonly value: EntryValue;
  readonly ofFile: EntryValue | undefined;
  readonly known: KnownEntry;
}

/** The file's in their order, then the API's in the order in which they came. */
export function inForce({ known, file }: Declared): Standing[] {
  const ordered = [...file.keys(), ...[...known.keys()].filter((key) => !file.has(key))];
  return ordered.flatMap((at) => {
    const entry = known.get(at);
    const ofFile = file.get(at)?.value;
    const isKept = entry?.api === "removed" && entry.problem !== "";
    const value = isKept ? ofFile : entry && valueInForce(entry, ofFile);
    if (entry === undefined || value === undefined) return [];
    return [{ key: { kind: entry.kind, id: entry.id }, value, ofFile, known: entry }];
  });
}

/** What may be sent back as "(hidden)". */
export function openedValue(standing: Standing | undefined): EntryValue | undefined {
  return standing?.known.unopened === undefined ? standing?.value : undefined;
}

export function shownText({ kind }: EntryKey, value: EntryValue | undefined): string {
  return value === undefined ? "" : JSON.stringify(hideSecretsOf(kind, value).shown);
}

function toEntry({ key, value, ofFile, known }: Standing): entriesV1.Entry {
  const drift = driftOf(known);
  return {
    ...key,
    entry: shownText(key, value),
    source: drift === "" || (known.problem !== "" && ofFile !== undefined) ? "file" : "api",
    drift,
    fileEntry: drift === "" ? "" : shownText(key, ofFile),
    version: BigInt(known.version),
    updatedBy: known.updatedBy,
    updatedAtMs: BigInt(known.updatedAtMs),
    problem: known.problem,
  };
}

async function putEntry(request: entriesV1.PutEntryRequest, entries: Entries): Promise<entriesV1.PutEntryResponse> {
  const { entry: text, createOnly } = request;
  const key = toKey(request);
  const parsed = parseEntry(text, key);
  if (!parsed.ok) throw mistakenEntry(key, [parsed.reason]);
  let created = false;
  const plan = (declared: Declared): EntryChange[] => {
    const standing = checkVersion(declared, key, request.ifVersion);
    if (createOnly && standing !== undefined)
      throw new AppError("already_exists", `there is a ${wordOf(key)} "${key.id}" already`, {
        details: { version: standing.known.version },
      });
    created = standing === undefined;
    return [{ ...key, value: withHidden(key, parsed.value, openedValue(standing)) }];
  };
  const { revision, warnings } = await entries.change(plan, authorOf(request));
  const own = `${wordOf(key)} "${key.id}": `;
  const entry = await readEntry(entries, key);
  return { entry, created, revision, warnings: warnings.filter((each) => each.startsWith(own)) };
}

/** Another replica may have changed it again meanwhile; then that is what is there. */
async function readEntry(entries: Entries, key: EntryKey): Promise<entriesV1.Entry | undefined> {
  const found = inForce(await entries.read()).find((each) => keyOf(each.key) === keyOf(key));
  return found && toEntry(found);
}

async function deleteEntry(
  request: entriesV1.DeleteEntryRequest,
  entries: Entries,
): Promise<entriesV1.DeleteEntryResponse> {
  const key = toKey(request);
  const plan = (declared: Declared): EntryChange[] => {
    if (checkVersion(declared, key, request.ifVersion) === undefined)
      throw new AppError("not_found", `there is no ${wordOf(key)} "${key.id}"`);
    return [{ ...key, value: undefined }];
  };
  try {
    const { revision } = await entries.change(plan, authorOf(request));
    return { revision };
  } catch (error) {
    const mistakes = error instanceof AppError ? error.details["mistakes"] : undefined;
    if (mistakes === undefined) throw error;
    // Without it others are not right any more.
    const message = `${wordOf(key)} "${key.id}" is still needed: ${(mistakes as string[]).join("; ")}`;
    throw new AppError("failed_precondition", message, { cause: error });
  }
}

/** The entry as it stands. @throws {AppError} failed_precondition with the `version` that there is */
function checkVersion(declared: Declared, key: EntryKey, ifVersion: bigint): Standing | undefined {
  const standing = inForce(declared).find((each) => keyOf(each.key) === keyOf(key));
  const version = standing?.known.version ?? 0;
  if (ifVersion === 0n || ifVersion === BigInt(version)) return standing;
  const what = `${wordOf(key)} "${key.id}"`;
  const reason =
    version === 0 ? `there is no ${what} any more` : `${what} has changed: it is of version ${version} now`;
  throw new AppError("failed_precondition", reason, { details: { version } });
}

/** @throws {AppError} invalid_argument with `mistakes` */
export function withHidden(key: EntryKey, value: EntryValue, before: EntryValue | undefined): EntryValue {
  const { value: whole, missing } = keepHidden(key.kind, value, before);
  if (missing.length === 0) return whole;
  throw mistakenEntry(
    key,
    missing.map((path) => `${path.join(".")} is "(hidden)", and nothing was there before`),
  );
}

export function mistakenEntry(key: EntryKey, reasons: readonly string[]): AppError {
  const mistakes = reasons.map((reason) => `${wordOf(key)} "${key.id}": ${reason}`);
  return new AppError("invalid_argument", mistakes.join("\n"), { details: { mistakes } });
}

function wordOf({ kind }: EntryKey): string {
  return kind.replace("_", " ");
}

/** @throws {AppError} invalid_argument */
function toKey({ kind: given, id }: { kind: string; id: string }): EntryKey {
  const kind = ENTRY_KINDS.find((each) => each === given);
  if (kind === undefined) throw new AppError("invalid_argument", `kind has to be one of ${ENTRY_KINDS.join(", ")}`);
  return { kind, id };
}
