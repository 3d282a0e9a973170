import { isDeepStrictEqual } from "node:util";
import {
  type DesiredSecretStores,
  type DesiredServer,
  loadDesiredState,
  secretFilesIn,
  secretsFrom,
  type SecretsNeeded,
  type ServerSecrets,
} from "@tollgate/desired-state";
import { AppError } from "@tollgate/errors";
import type { Life, Log, Pool } from "@tollgate/service";
import type { Envelopes } from "../domain/envelope.ts";
import { type KnownSecret, knownSecret, readerOf, type SecretAnswer, type StoreName } from "../domain/secret.ts";
import type { Catalogue } from "./catalogue.ts";
import { openOwnSecrets } from "./own-secrets.ts";
import { recordSecretReads } from "./secret-reads.ts";
import { openVaultSecrets, type VaultSecrets } from "./vault-secrets.ts";

/** How soon another value in the settings themselves, such as a token in a file, is taken. */
const SETTINGS_REREAD_MS = 15_000;

/** The secrets of servers, out of all the stores that tollgate.yaml names. */
export interface SecretStores {
  /** As followDesiredState asks for them. */
  read(needed: SecretsNeeded): Promise<ServerSecrets>;
  /** These are in force from now on. On the record of what they were given first; throws where that cannot be written. */
  use(servers: readonly DesiredServer[]): Promise<void>;
  readonly settings: () => DesiredSecretStores;
  readonly known: () => ReadonlyMap<string, KnownSecret>;
  /** Which servers name a secret, those that are disabled too. */
  readonly users: () => ReadonlyMap<string, readonly string[]>;
}

type ReadStore = (names: readonly string[]) => Promise<ReadonlyMap<string, SecretAnswer>>;

export function openSecretStores(options: {
  path: string;
  env: Readonly<Record<string, string | undefined>>;
  pool: Pool;
  envelopes: Envelopes | undefined;
  catalogue: Catalogue;
  life: Life;
  log: Log;
}): SecretStores {
  const { path, env, pool, envelopes, catalogue, life, log } = options;
  const readSettings = followSettings(path, env);
  const readFile = secretFilesIn(env);
  const readOwn = openOwnSecrets({ pool, envelopes, revision: () => catalogue.latest.value.revision });
  const recordReads = recordSecretReads(pool);
  let vault: { readonly of: DesiredSecretStores; readonly secrets: VaultSecrets } | undefined;
  let settings = readSettings("");
  let known: ReadonlyMap<string, KnownSecret> = new Map();
  let users: ReadonlyMap<string, readonly string[]> = new Map();
  let version = 0;
  life.onClose("vault", 1_000, () => vault?.secrets.close());

  const readVault: ReadStore = (names) => {
    if (vault?.of !== settings) {
      vault?.secrets.close();
      vault = { of: settings, secrets: openVaultSecrets(settings, life.signal) };
    }
    return vault.secrets.read(names);
  };
  const stores: Readonly<Record<StoreName, ReadStore>> = {
    files: async (names) => new Map(names.map((name) => [name, ofFile(readFile(name))])),
    tollgate: readOwn,
    vault: readVault,
  };

  return {
    async read({ text, names, occasion }) {
      if (occasion === "trial") return { read: readerOf(known, settings.stores), version };
      settings = readSettings(text);
      if (occasion === "load") {
        // What is not in force yet is no change of what is: looks at the file find those, and forget what nobody uses.
        const found = await lookUp(
          names.filter((name) => !known.has(name)),
          settings.stores,
          stores,
        );
        known = new Map([...known, ...knownOf(found, known)]);
        return { read: readerOf(known, settings.stores), version };
      }
      // Those that only the API's entries name are looked at as well, whoever asks.
      const wanted = new Set([...names, ...users.keys()]);
      const found = await lookUp([...wanted], settings.stores, stores);
      vault?.secrets.keep(wanted);
      const before = known;
      known = knownOf(found, before);
      if (hasNews(before, known)) version += 1;
      tellProblems(before, known, log);
      return { read: readerOf(known, settings.stores), version };
    },
    async use(servers) {
      await recordReads(servers, known);
      users = usersOf(servers);
    },
    settings: () => settings,
    known: () => known,
    users: () => users,
  };
}

/** What the file says of stores; one with mistakes changes nothing, and whoever applies it tells of them. */
function followSettings(path: string, env: Readonly<Record<string, string | undefined>>) {
  const load = (text: string): DesiredSecretStores =>
    loadDesiredState(text, { file: path, env, readSecret: secretsFrom(env), sections: ["secrets"] }).secretStores;
  let last = { text: "", settings: load("{}"), untilMs: 0 };
  return (text: string): DesiredSecretStores => {
    if (last.text === text && performance.now() < last.untilMs) return last.settings;
    let { settings } = last;
    try {
      const next = load(text);
      if (!isDeepStrictEqual(next, settings)) settings = next;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
    }
    last = { text, settings, untilMs: performance.now() + SETTINGS_REREAD_MS };
    return settings;
  };
}

/** Each name in the first store that does not say that it has none of it. */
async function lookUp(
  names: readonly string[],
  order: readonly StoreName[],
  stores: Readonly<Record<StoreName, ReadStore>>,
): Promise<Map<string, { store: StoreName; answer: SecretAnswer } | undefined>> {
  const found = new Map<string, { store: StoreName; answer: SecretAnswer } | undefined>();
  let left = names;
  for (const store of order) {
    if (left.length === 0) break;
    const answers = await stores[store](left);
    for (const name of left) {
      const answer = answers.get(name);
      if (answer !== undefined && answer.kind !== "absent") found.set(name, { store, answer });
    }
    left = left.filter((name) => !found.has(name));
  }
  for (const name of left) found.set(name, undefined);
  return found;
}

function ofFile(file: ReturnType<ReturnType<typeof secretFilesIn>>): SecretAnswer {
  if (file.kind === "found") return { ...file, version: 0, servers: [] };
  return file.kind === "absent" ? { kind: "absent" } : file;
}

function knownOf(
  found: Awaited<ReturnType<typeof lookUp>>,
  before: ReadonlyMap<string, KnownSecret>,
): Map<string, KnownSecret> {
  return new Map([...found].map(([name, each]) => [name, knownSecret(each, before.get(name))]));
}

/** Whether servers get something else than before; nobody gets what is not asked for any more. */
function hasNews(before: ReadonlyMap<string, KnownSecret>, now: ReadonlyMap<string, KnownSecret>): boolean {
  return [...now].some(([name, { answer }]) => !isDeepStrictEqual(before.get(name)?.answer, answer));
}

function tellProblems(before: ReadonlyMap<string, KnownSecret>, now: ReadonlyMap<string, KnownSecret>, log: Log): void {
  for (const [secret, { store, answer, problem }] of now) {
    const last = before.get(secret)?.problem ?? "";
    if (problem === last) continue;
    if (problem === "") log.info({ secret, store }, "secret read again");
    else if (answer.kind === "found")
      log.warn({ secret, store, problem }, "secret cannot be read; its last value stays");
    else log.warn({ secret, store, problem }, "secret cannot be read; servers that name it wait");
  }
}

function usersOf(servers: readonly DesiredServer[]): Map<string, string[]> {
  const users = new Map<string, string[]>();
  for (const { id, secretNames } of servers)
    for (const name of secretNames) users.set(name, [...(users.get(name) ?? []), id]);
  return users;
}
