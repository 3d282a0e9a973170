import type { DesiredSecretStores } from "@tollgate/desired-state";
import { AppError } from "@tollgate/errors";
import { openVault, type Vault } from "../clients/vault.ts";
import type { SecretAnswer } from "../domain/secret.ts";

const ASKED_AT_ONCE = 8;
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 30_000;

/** What Vault has said, asked again from time to time: nobody waits for it but whoever is the first to name a secret. */
export interface VaultSecrets {
  read(names: readonly string[]): Promise<ReadonlyMap<string, SecretAnswer>>;
  /** All others are forgotten. */
  keep(names: ReadonlySet<string>): void;
  close(): void;
}

interface Heard {
  readonly answer: SecretAnswer;
  /** In a row. */
  readonly failures: number;
  /** Monotonic milliseconds: when to ask again. */
  readonly dueMs: number;
}

/** @param signal ends what is under way */
export function openVaultSecrets(
  { vault: settings, refreshMs }: Pick<DesiredSecretStores, "vault" | "refreshMs">,
  signal: AbortSignal,
): VaultSecrets {
  const heard = new Map<string, Heard>();
  let vault: Vault | undefined;
  let asking: Promise<void> = Promise.resolve();
  let isAsking = false;

  const note = (name: string, answer: SecretAnswer): SecretAnswer => {
    const failures = answer.kind === "failed" ? (heard.get(name)?.failures ?? 0) + 1 : 0;
    const retryMs = Math.min(RETRY_MIN_MS * 2 ** Math.min(failures - 1, 10), RETRY_MAX_MS, refreshMs);
    heard.set(name, { answer, failures, dueMs: performance.now() + (failures === 0 ? refreshMs : retryMs) });
    return answer;
  };

  /** When Vault is away nobody asks it for the rest. */
  async function ask(names: readonly string[]): Promise<Map<string, SecretAnswer>> {
    const waiting = [...names];
    const answers = new Map<string, SecretAnswer>();
    let away: string | undefined;
    const work = async (): Promise<void> => {
      for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
        try {
          const answer = away === undefined && (await (vault ??= openVault(settings!)).read(name, signal));
          answers.set(name, note(name, answer || { kind: "failed", reason: away! }));
        } catch (error) {
          away = reasonOf(error);
          answers.set(name, note(name, { kind: "failed", reason: away }));
        }
      }
    };
    await Promise.all(Array.from({ length: ASKED_AT_ONCE }, work));
    return answers;
  }

  return {
    async read(names) {
      // Others may forget meanwhile what is read here.
      const last = new Map(names.flatMap((name) => (heard.has(name) ? [[name, heard.get(name)!] as const] : [])));
      const fresh = await ask(names.filter((name) => !last.has(name)));
      const due = names.filter((name) => (last.get(name)?.dueMs ?? Infinity) <= performance.now());
      if (due.length > 0 && !isAsking && !signal.aborted) {
        isAsking = true;
        asking = ask(due)
          .then(() => undefined)
          .finally(() => (isAsking = false));
      }
      return new Map(names.map((name) => [name, last.get(name)?.answer ?? fresh.get(name)!]));
    },
    keep(names) {
      for (const name of heard.keys()) if (!names.has(name)) heard.delete(name);
    },
    close() {
      void asking.finally(() => vault?.close());
    },
  };
}

function reasonOf(error: unknown): string {
  if (error instanceof AppError) return `Vault: ${error.message}`;
  return `Vault's ca_file cannot be read (${(error as NodeJS.ErrnoException).code ?? "unknown"})`;
}
