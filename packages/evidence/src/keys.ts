import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  randomBytes,
  sign,
} from "node:crypto";
import { AppError } from "@tollgate/errors";
import { openWith, sealWith } from "./sealing.ts";
import { signedBytes, type StatementForm } from "./statements.ts";

/** A public key with what vouches for it. Keys stand in a line: each is signed by the one before it. */
export interface KeyRecord {
  readonly v: 1;
  readonly id: string;
  /** PEM, SPKI, Ed25519. */
  readonly publicKey: string;
  /** Unix milliseconds. */
  readonly at: number;
  /** SHA-256 of the key before it (DER, SPKI; hexadecimal); empty for the first one. */
  readonly previous: string;
  /** Base64: made with the key itself, so that it names the key before it, too. */
  readonly signature: string;
  /** Base64: made with the key before it; empty for the first one. */
  readonly previousSignature: string;
}

export interface SigningKey {
  readonly id: string;
  readonly privateKey: KeyObject;
}

export const KEY_FORM: StatementForm = { title: "signing key", fields: ["v", "id", "publicKey", "at", "previous"] };
const ID_CHARS = 16;
const SECRET_BYTES = 32;

/** A new key, vouched for by the one that it takes over from. */
export function createSigningKey(options: { atMs: number; previous?: { record: KeyRecord; key: SigningKey } }): {
  record: KeyRecord;
  key: SigningKey;
} {
  const { atMs, previous } = options;
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const fields = {
    v: 1,
    id: keyIdOf(publicKey),
    publicKey: publicKey.export({ type: "spki", format: "pem" }).toString(),
    at: atMs,
    previous: previous === undefined ? "" : fingerprint(createPublicKey(previous.record.publicKey)),
  } as const;
  const bytes = signedBytes(KEY_FORM, fields);
  const record = {
    ...fields,
    signature: sign(null, bytes, privateKey).toString("base64"),
    previousSignature: previous === undefined ? "" : sign(null, bytes, previous.key.privateKey).toString("base64"),
  };
  return { record, key: { id: fields.id, privateKey } };
}

/** The first 16 digits of its fingerprint. */
export function keyIdOf(publicKey: KeyObject): string {
  return fingerprint(publicKey).slice(0, ID_CHARS);
}

/** SHA-256 of the public key (DER, SPKI), hexadecimal. */
export function fingerprint(publicKey: KeyObject): string {
  return createHash("sha256")
    .update(publicKey.export({ type: "spki", format: "der" }))
    .digest("hex");
}

/** The private key under AES-256-GCM. @param secret at least 32 characters, random */
export function sealSigningKey(key: SigningKey, secret: string): string {
  const bytes = key.privateKey.export({ type: "pkcs8", format: "der" });
  return sealWith(sealingKey(secret), `signing key ${key.id}`, bytes, randomBytes);
}

/** @throws {AppError} failed_precondition when it was sealed under another secret, or for another id */
export function openSigningKey(id: string, sealed: string, secret: string): SigningKey {
  const bytes = openWith(sealingKey(secret), `signing key ${id}`, sealed);
  if (bytes === undefined)
    throw new AppError("failed_precondition", `the signing key ${id} was sealed under another TOLLGATE_SIGNING_SECRET`);
  return { id, privateKey: createPrivateKey({ key: bytes, type: "pkcs8", format: "der" }) };
}

function sealingKey(secret: string): Buffer {
  return Buffer.from(hkdfSync("sha256", secret, "", "tollgate signing keys v1", SECRET_BYTES));
}
