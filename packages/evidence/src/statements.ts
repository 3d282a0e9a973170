import { createHash, type KeyObject, sign, verify } from "node:crypto";

/** Something flat that was signed with Ed25519. */
export interface Signed {
  /** Whose signature it is: a key's id. */
  readonly keyId: string;
  /** Base64. */
  readonly signature: string;
}

/** What a signature is of: a signature of one kind of statement is none of another's. */
export interface StatementForm {
  readonly title: string;
  /** Names of all its fields, at every depth, in the order in which they are written; without the signature. */
  readonly fields: readonly string[];
}

/**
 * The bytes that are signed: a line that says what it is, and JSON of the fields in their order. Fields that the form does
 * not name are not signed, so nobody may read them from a statement.
 */
export function signedBytes(form: StatementForm, statement: object): Buffer {
  return Buffer.from(`tollgate ${form.title} v1\n${JSON.stringify(statement, [...form.fields])}\n`);
}

export function signStatement<T extends object>(
  form: StatementForm,
  statement: T,
  key: { id: string; privateKey: KeyObject },
): T & Signed {
  const whole = { ...statement, keyId: key.id };
  return { ...whole, signature: sign(null, signedBytes(form, whole), key.privateKey).toString("base64") };
}

export function isSignedBy(form: StatementForm, statement: Signed, publicKey: KeyObject): boolean {
  const signature = Buffer.from(statement.signature, "base64");
  // Base64 can be written in more than one way; this is the one.
  if (signature.toString("base64") !== statement.signature) return false;
  return verify(null, signedBytes(form, statement), publicKey, signature);
}

/** SHA-256 of the signed bytes, hexadecimal: how one statement names another. */
export function statementHash(form: StatementForm, statement: object): string {
  return createHash("sha256").update(signedBytes(form, statement)).digest("hex");
}
