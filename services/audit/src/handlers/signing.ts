import { createPublicKey } from "node:crypto";
import { type auditV1, changeEvent, INSTALLATION_TENANT } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import {
  createSigningKey,
  type KeyLine,
  type KeyRecord,
  openKeyLine,
  openSigningKey,
  sealSigningKey,
  type SigningKey,
} from "@tollgate/evidence";
import { enqueueEvents, type Log, type Pool, unary, withTransaction } from "@tollgate/service";
import type { ClientBase } from "pg";
import { type RegisterEntry, signRegister } from "../domain/register.ts";
import { insertRegister } from "../store/checkpoints.ts";
import { addSigningKey, lockSigningKeys, readSigningKeys, type StoredKey } from "../store/signing-keys.ts";

/** A rotation a day for a quarter of a century. */
const KEYS_MAX = 10_000;

/** The keys that sign the record. They are read whenever something is signed: another replica may have changed them. */
export interface Signing {
  /** The one that signs now. */
  key(client: Pick<ClientBase, "query">): Promise<SigningKey>;
  /** All public ones, oldest first. */
  records(client: Pick<ClientBase, "query">): Promise<KeyRecord[]>;
  /** Only keys that the one vouches for that opens under this service's secret: the database alone cannot bring its own. */
  trusted(client: Pick<ClientBase, "query">): Promise<KeyLine>;
  /** By the chain's name, what this process has signed last: the database cannot take that back. */
  readonly signed: Map<string, RegisterEntry>;
}

/**
 * Makes the first key where there is none yet.
 * @throws {AppError} failed_precondition when the keys were sealed under another secret
 */
export async function openSigning({ pool, secret }: { pool: Pool; secret: string }): Promise<Signing> {
  await withTransaction(pool, async (client) => {
    await lockSigningKeys(client);
    const keys = await readSigningKeys(client);
    if (keys.length > 0) currentKey(keys, secret);
    else {
      await add(client, secret);
      // There is one from the beginning on, so that one that is missing was taken away.
      const { key } = currentKey(await readSigningKeys(client), secret);
      await insertRegister(client, JSON.stringify(signRegister([], Date.now(), key)));
    }
  });
  return {
    key: async (client) => currentKey(await readSigningKeys(client), secret).key,
    records: async (client) => (await readSigningKeys(client)).map(({ record }) => record),
    trusted: async (client) => trustedKeys(await readSigningKeys(client), secret),
    signed: new Map(),
  };
}

function currentKey(keys: readonly StoredKey[], secret: string): { record: KeyRecord; key: SigningKey } {
  const { record, sealed } = keys.at(-1) ?? {};
  if (record === undefined || sealed === undefined || sealed === null)
    throw new AppError("failed_precondition", "there is no key to sign with in audit.signing_keys");
  return { record, key: openSigningKey(record.id, sealed, secret) };
}

function trustedKeys(keys: readonly StoredKey[], secret: string): KeyLine {
  const { key } = currentKey(keys, secret);
  const pin = createPublicKey(key.privateKey).export({ type: "spki", format: "pem" }).toString();
  const opened = openKeyLine(
    keys.map(({ record }) => record),
    pin,
  );
  if (!opened.ok) throw new AppError("internal", opened.reason);
  return opened.value;
}

async function add(client: ClientBase, secret: string, previous?: ReturnType<typeof currentKey>): Promise<KeyRecord> {
  const { record, key } = createSigningKey({ atMs: Date.now(), ...(previous && { previous }) });
  await addSigningKey(client, record, sealSigningKey(key, secret));
  return record;
}

export function createSigningHandlers(options: {
  pool: Pool;
  secret: string;
  log: Log;
}): Pick<auditV1.AuditServiceServer, "listSigningKeys" | "rotateSigningKey"> {
  const { pool, secret, log } = options;
  return {
    listSigningKeys: unary(log, async (): Promise<auditV1.ListSigningKeysResponse> => {
      const records = (await readSigningKeys(pool)).map(({ record }) => record);
      return { keys: records.map((record, at) => toMessage(record, records[at + 1])) };
    }),
    rotateSigningKey: unary(log, async ({ by }: auditV1.RotateSigningKeyRequest) => {
      if (by === "") throw new AppError("invalid_argument", "by is missing: who changes the key");
      const record = await withTransaction(pool, (client) => rotate(client, secret, by));
      log.info({ key: record.id, by }, "another key signs from now on");
      return { key: toMessage(record, undefined) };
    }),
  };
}

async function rotate(client: ClientBase, secret: string, by: string): Promise<KeyRecord> {
  await lockSigningKeys(client);
  const keys = await readSigningKeys(client);
  if (keys.length >= KEYS_MAX) throw new AppError("failed_precondition", `there were ${KEYS_MAX} keys already`);
  const previous = currentKey(keys, secret);
  const record = await add(client, secret, previous);
  const event = changeEvent(
    {
      tenant: INSTALLATION_TENANT,
      change: "rotated",
      resource: "signing_key",
      name: record.id,
      principal: by,
      before: { id: previous.record.id, publicKey: previous.record.publicKey },
      after: { id: record.id, publicKey: record.publicKey },
    },
    Date.now(),
  );
  await enqueueEvents(client, "audit", [event]);
  return record;
}

function toMessage(record: KeyRecord, next: KeyRecord | undefined): auditV1.SigningKey {
  const { id, publicKey, at } = record;
  return { id, publicKey, createdAtMs: BigInt(at), retiredAtMs: BigInt(next?.at ?? 0) };
}
