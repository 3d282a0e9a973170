import { AppError } from "@tollgate/errors";
import type { Pool } from "@tollgate/service";
import type { Envelopes } from "../domain/envelope.ts";
import { aboutSecret, type SecretAnswer } from "../domain/secret.ts";
import { readSecrets, type SecretRow } from "../store/secrets.ts";

/** The installation's own secrets, opened: read from the database again whenever the revision is another one. */
export function openOwnSecrets(options: { pool: Pool; envelopes: Envelopes | undefined; revision: () => bigint }) {
  const { pool, envelopes, revision } = options;
  let seen: { readonly revision: bigint; readonly answers: ReadonlyMap<string, SecretAnswer> } | undefined;

  return async (names: readonly string[]): Promise<ReadonlyMap<string, SecretAnswer>> => {
    // Before the rows: what changes meanwhile is read the next time.
    const at = revision();
    const missing = names.some((name) => !seen?.answers.has(name));
    if (seen?.revision === at && !missing) return seen.answers;
    try {
      const rows = new Map((await readSecrets(pool, names)).map((row) => [row.name, row]));
      const answers = new Map(names.map((name) => [name, toAnswer(rows.get(name), envelopes)]));
      seen = { revision: at, answers };
      return answers;
    } catch {
      const failed = { kind: "failed", reason: "the database cannot be reached" } as const;
      return new Map(names.map((name) => [name, failed]));
    }
  };
}

function toAnswer(row: SecretRow | undefined, envelopes: Envelopes | undefined): SecretAnswer {
  if (row === undefined) return { kind: "absent" };
  if (envelopes === undefined) return { kind: "failed", reason: NO_KEYS };
  const { name, version, servers, sealed } = row;
  try {
    return { kind: "found", value: envelopes.open(sealed, aboutSecret(name, version, servers)), version, servers };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return { kind: "failed", reason: error.message };
  }
}

export const NO_KEYS = "the registry has no master keys (TOLLGATE_SECRET_KEYS)";
