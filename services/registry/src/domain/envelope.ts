import { hkdfSync } from "node:crypto";
import { AppError } from "@tollgate/errors";
import { openWith, type RandomBytes, sealWith } from "@tollgate/evidence";

// A sealed text is `<id of the master key>:<the data key, sealed with it>:<the text, sealed with the data key>`, the two
// latter AES-256-GCM in base64. Each text has a data key of its own. What a text is about is bound to the text alone, so
// that a master key can be replaced without knowing any text; a data key that is put to another text opens nothing.

const KEY_BYTES = 32;
const PARTS = 3;

/** What a text belongs to: kind, id, version … It opens only with the same words in the same order. */
export type About = readonly (string | number)[];

/** Seals texts for the database: who has it, and not the master keys, has no text. */
export interface Envelopes {
  /** Of the newest master key, which all that is new is sealed with. */
  readonly keyId: string;
  seal(text: string, about: About): string;
  /** @throws {AppError} failed_precondition when its master key is not here, or when it was changed or is about another thing */
  open(sealed: string, about: About): string;
  /**
   * The same text under the newest master key; what is there already is given back as it is.
   * @throws {AppError} failed_precondition when its master key is not here, or when its data key was changed
   */
  rewrap(sealed: string): string;
}

/** @param masterKeys by id, the newest first, at least one: as parseKeyList gives them */
export function createEnvelopes(masterKeys: ReadonlyMap<string, Uint8Array>, random: RandomBytes): Envelopes {
  const wrappingKeys = new Map([...masterKeys].map(([id, key]) => [id, deriveWrappingKey(key)]));
  const [newest] = wrappingKeys;
  if (newest === undefined) throw new AppError("internal", "envelopes need a master key");
  const [keyId, newestKey] = newest;

  const wrap = (dataKey: Buffer): string => `${keyId}:${sealWith(newestKey, "data key", dataKey, random)}`;
  const unwrap = (sealed: string): { dataKey: Buffer; body: string } => {
    const [id = "", wrapped = "", body = "", ...more] = sealed.split(":", PARTS + 1);
    const key = wrappingKeys.get(id);
    if (key === undefined) throw refuse(`its master key ${id} is not among the keys here (TOLLGATE_SECRET_KEYS)`);
    const dataKey = more.length === 0 ? openWith(key, "data key", wrapped) : undefined;
    if (dataKey === undefined) throw refuse("its data key was changed, or the master key is another one of that id");
    return { dataKey, body };
  };
  return {
    keyId,
    seal(text, about) {
      const dataKey = random(KEY_BYTES);
      return `${wrap(dataKey)}:${sealWith(dataKey, JSON.stringify(about), text, random)}`;
    },
    open(sealed, about) {
      const { dataKey, body } = unwrap(sealed);
      const bytes = openWith(dataKey, JSON.stringify(about), body);
      if (bytes === undefined) throw refuse("it was changed, or belongs to something else");
      return bytes.toString("utf8");
    },
    rewrap(sealed) {
      const { dataKey, body } = unwrap(sealed);
      return keyIdOf(sealed) === keyId ? sealed : `${wrap(dataKey)}:${body}`;
    },
  };
}

/** The id of the master key that a text's data key is sealed with. */
export function keyIdOf(sealed: string): string {
  return sealed.slice(0, sealed.indexOf(":"));
}

function deriveWrappingKey(masterKey: Uint8Array): Buffer {
  return Buffer.from(hkdfSync("sha256", masterKey, "", "tollgate secrets v1 wrap", KEY_BYTES));
}

function refuse(reason: string): AppError {
  return new AppError("failed_precondition", `what is sealed cannot be opened: ${reason}`);
}
