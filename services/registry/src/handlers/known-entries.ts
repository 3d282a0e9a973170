import { type HiddenValues, hideSecretsOf, revealSecretsOf } from "@tollgate/desired-state";
import { AppError } from "@tollgate/errors";
import type { Envelopes } from "../domain/envelope.ts";
import { type EntryValue, keyOf, type Layers } from "../domain/layers.ts";
import { type EntryRow, readEntries, type StoredEntry } from "../store/entries.ts";
import type { Queryable } from "../store/revision.ts";

/** What is kept of an entry. */
export interface KnownEntry extends Layers {
  /** Why the API's word is set aside; empty where it is not. */
  readonly problem: string;
  /** Counts its changes; 0: there were none yet. */
  readonly version: number;
  readonly updatedBy: string;
  readonly updatedAtMs: number;
}

/** By keyOf, in the order in which they came. */
export async function readKnownEntries(
  client: Queryable,
  envelopes: Envelopes | undefined,
): Promise<Map<string, KnownEntry>> {
  const rows = await readEntries(client);
  return new Map(rows.map((row) => [keyOf(row), toKnownEntry(row, envelopes)]));
}

function toKnownEntry(row: StoredEntry, envelopes: Envelopes | undefined): KnownEntry {
  const { kind, id, fileHash, shown, isRemoved, problem, version, updatedBy, updatedAt } = row;
  const known = { kind, id, fileHash, problem, version, updatedBy, updatedAtMs: updatedAt.getTime() };
  if (isRemoved || shown === null) return { ...known, api: isRemoved ? "removed" : undefined };
  try {
    const value = openEntry({ ...row, shown }, envelopes);
    return { ...known, api: () => value };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return { ...known, api: () => shown, unopened: error.message };
  }
}

/** @throws {AppError} failed_precondition */
function openEntry({ kind, id, version, shown, sealed }: EntryRow & { shown: EntryValue }, envelopes?: Envelopes) {
  if (sealed === null) return shown;
  const what = `${kind} "${id}": its plain values cannot be opened`;
  if (envelopes === undefined) throw new AppError("failed_precondition", `${what}: TOLLGATE_SECRET_KEYS is not set`);
  try {
    const hidden = JSON.parse(envelopes.open(sealed, ["entry", kind, id, version])) as HiddenValues;
    return revealSecretsOf(shown, hidden);
  } catch (error) {
    throw new AppError("failed_precondition", `${what}: ${(error as Error).message}`, { cause: error });
  }
}

/** The next version of an entry. @throws {AppError} failed_precondition where something has to be sealed, and cannot */
export function toEntryRow(
  { kind, id, fileHash, api }: Layers,
  before: KnownEntry | undefined,
  { envelopes, updatedBy }: { envelopes: Envelopes | undefined; updatedBy: string },
): EntryRow {
  const version = (before?.version ?? 0) + 1;
  const row = { kind, id, fileHash, isRemoved: api === "removed", version, updatedBy };
  if (typeof api !== "function") return { ...row, shown: null, sealed: null };
  const { shown, hidden } = hideSecretsOf(kind, api());
  if (Object.keys(hidden).length === 0) return { ...row, shown, sealed: null };
  if (envelopes === undefined) {
    const what = `${kind} "${id}" holds what may be a secret in plain text`;
    throw new AppError("failed_precondition", `${what}, which cannot be kept without TOLLGATE_SECRET_KEYS`);
  }
  return { ...row, shown, sealed: envelopes.seal(JSON.stringify(hidden), ["entry", kind, id, version]) };
}
