import { createCipheriv, createDecipheriv } from "node:crypto";

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** As node:crypto's: handed over, since a service's domain has no randomness of its own. */
export type RandomBytes = (size: number) => Buffer;

/** AES-256-GCM: base64 of nonce, ciphertext and tag. @param about additional data: what it is sealed for */
export function sealWith(key: Uint8Array, about: string, text: string | Uint8Array, random: RandomBytes): string {
  const nonce = random(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES }).setAAD(Buffer.from(about));
  const body = typeof text === "string" ? cipher.update(text, "utf8") : cipher.update(text);
  return Buffer.concat([nonce, body, cipher.final(), cipher.getAuthTag()]).toString("base64");
}

/** Undefined where key, purpose or bytes are not those of the sealing. */
export function openWith(key: Uint8Array, about: string, sealed: string): Buffer | undefined {
  const bytes = Buffer.from(sealed, "base64");
  if (bytes.length < NONCE_BYTES + TAG_BYTES) return undefined;
  const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(about)).setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, bytes.length - TAG_BYTES)), decipher.final()]);
  } catch {
    return undefined;
  }
}
