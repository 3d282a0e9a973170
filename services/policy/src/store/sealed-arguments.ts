import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from "node:crypto";
import { AppError } from "@tollgate/errors";

const IV_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;

/** Calls' arguments at rest: readable with the service key only, each where it was put only. */
export interface SealedArguments {
  seal(text: string, approvalId: string): Buffer;
  /** @throws {AppError} internal when they were changed, moved, or sealed with another service key */
  open(sealed: Buffer, approvalId: string): string;
  /** Says whether two are the same, and nothing else to whoever has not the key. 64 hexadecimal digits. */
  digest(canonical: string): string;
}

/** AES-256-GCM, with keys that HKDF (RFC 5869) makes of the service key. */
export function openSealedArguments(serviceKey: string): SealedArguments {
  const keyFor = (purpose: string) => Buffer.from(hkdfSync("sha256", serviceKey, "", purpose, KEY_BYTES));
  const sealing = keyFor("tollgate approval arguments");
  const digesting = keyFor("tollgate approval digests");
  return {
    seal(text, approvalId) {
      const iv = randomBytes(IV_BYTES);
      const cipher = createCipheriv("aes-256-gcm", sealing, iv).setAAD(Buffer.from(approvalId));
      const body = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
      return Buffer.concat([iv, cipher.getAuthTag(), body]);
    },
    open(sealed, approvalId) {
      const iv = sealed.subarray(0, IV_BYTES);
      const tag = sealed.subarray(IV_BYTES, IV_BYTES + TAG_BYTES);
      try {
        const decipher = createDecipheriv("aes-256-gcm", sealing, iv, { authTagLength: TAG_BYTES })
          .setAAD(Buffer.from(approvalId))
          .setAuthTag(tag);
        return decipher.update(sealed.subarray(IV_BYTES + TAG_BYTES), undefined, "utf8") + decipher.final("utf8");
      } catch (error) {
        throw new AppError("internal", "the arguments cannot be read: was the service key changed?", { cause: error });
      }
    },
    digest: (canonical) => createHmac("sha256", digesting).update(canonical).digest("hex"),
  };
}
