import { NAME_PATTERN, type Parsed } from "@tollgate/contracts";
import { type DesiredSecretStores, isSecretName, type ReadServerSecret } from "@tollgate/desired-state";
import type { About } from "./envelope.ts";

// A secret is looked up in the stores one after the other; the first that has it gives it. A store that does not answer
// is not passed over, or another value could take the place of the right one: the value that was read last stays in force.

export type StoreName = DesiredSecretStores["stores"][number];

/** What a store says of a secret. */
export type SecretAnswer =
  | {
      readonly kind: "found";
      readonly value: string;
      /** Of the store; 0 where it counts none. */
      readonly version: number;
      /** Those that may use it; empty: any. */
      readonly servers: readonly string[];
    }
  | { readonly kind: "absent" }
  /** The reason may be shown. */
  | { readonly kind: "failed"; readonly reason: string };

/** A secret as it is in force. */
export interface KnownSecret {
  /** The store that gave it, or did not answer; empty where none has it. */
  readonly store: StoreName | "";
  readonly answer: SecretAnswer;
  /** Why it could not be read the last time; empty where it could. */
  readonly problem: string;
}

const VALUE_MAX_BYTES = 64 * 1024;
const DESCRIPTION_MAX_CHARS = 500;
const SERVERS_MAX = 256;

/** @param before what was in force until now */
export function knownSecret(
  found: { readonly store: StoreName; readonly answer: SecretAnswer } | undefined,
  before: KnownSecret | undefined,
): KnownSecret {
  if (found === undefined) return { store: "", answer: { kind: "absent" }, problem: "" };
  if (found.answer.kind !== "failed") return { ...found, problem: "" };
  const { reason: problem } = found.answer;
  return before?.answer.kind === "found" ? { ...before, problem } : { ...found, problem };
}

/** What servers get of the secrets that are known. */
export function readerOf(known: ReadonlyMap<string, KnownSecret>, stores: readonly StoreName[]): ReadServerSecret {
  return (name, server) => {
    const withhold = (reason: string) => ({ ok: false, reason, withheld: true }) as const;
    const { answer } = known.get(name) ?? {};
    if (answer === undefined) return withhold(`needs the secret ${name}, which is being read`);
    if (answer.kind === "failed") return withhold(`needs the secret ${name}, which cannot be read: ${answer.reason}`);
    if (answer.kind === "absent") return withhold(`needs the secret ${name}: ${wayIn(name, stores)}`);
    if (answer.servers.length === 0 || answer.servers.includes(server)) return { ok: true, value: answer.value };
    return { ok: false, reason: `may not use the secret ${name}: it is for ${answer.servers.join(", ")} only` };
  };
}

function wayIn(name: string, stores: readonly StoreName[]): string {
  const ways: Readonly<Record<StoreName, string>> = {
    files: "put it in a file of that name into TOLLGATE_SECRETS_DIR",
    tollgate: `put it with PUT /api/v1/secrets/${name}`,
    vault: "put it into Vault",
  };
  return stores.map((store) => ways[store]).join(", or ");
}

/** What a stored secret is bound to: a changed list of servers opens it no more. */
export function aboutSecret(name: string, version: number, servers: readonly string[]): About {
  return ["secret", name, version, ...servers];
}

/** A secret as somebody wants to store it. */
export interface GivenSecret {
  readonly name: string;
  readonly value: string;
  /** Undefined: as it was. */
  readonly description?: string | undefined;
  /** Undefined: as they were. */
  readonly servers: readonly string[] | undefined;
}

/** The reason never repeats a value. */
export function parseSecret(given: GivenSecret): Parsed<GivenSecret> {
  const { name, value, description = "", servers = [] } = given;
  const refuse = (reason: string) => ({ ok: false, reason }) as const;
  if (!isSecretName(name)) return refuse("name has to be 1 to 128 of A-Z, a-z, 0-9, _, . and -");
  if (value === "") return refuse("value is empty");
  if (Buffer.byteLength(value) > VALUE_MAX_BYTES) return refuse("value is larger than 64 KiB");
  if (!isStorable(value)) return refuse("value holds a NUL, or is not well-formed Unicode");
  if (description.length > DESCRIPTION_MAX_CHARS || !isStorable(description))
    return refuse(`description has to be a text of at most ${DESCRIPTION_MAX_CHARS} characters`);
  if (servers.length > SERVERS_MAX) return refuse(`servers has more than ${SERVERS_MAX} entries`);
  if (!servers.every((server) => NAME_PATTERN.test(server))) return refuse("servers has to hold ids of servers");
  return { ok: true, value: { ...given, servers: given.servers && [...new Set(servers)].toSorted() } };
}

/** As PostgreSQL and environments can hold it. */
function isStorable(text: string): boolean {
  return !text.includes("\0") && text.isWellFormed();
}
