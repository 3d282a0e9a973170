import { hkdfSync, randomBytes } from "node:crypto";
import { type Parsed, type Recordable, RECORDABLE, type Recording } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { KEY_BYTES, parseKeyList } from "./key-list.ts";
import { openWith, sealWith } from "./sealing.ts";
import { createShortHmac } from "./short-hmac.ts";

/** Of arguments and result together: with base64 and the event's other fields they stay within a line of 64 KiB. */
export const RECORDED_BYTES_MAX = 40 * 1024;

interface RecordingKey {
  readonly id: string;
  /** One key, one use: this one encrypts, the other one hashes. */
  readonly cipherKey: Buffer;
  readonly hash: (text: string) => string;
}

/** The first one seals and hashes, each of them opens. */
export interface RecordingKeys {
  readonly current: RecordingKey;
  readonly byId: ReadonlyMap<string, RecordingKey>;
}

/** @param text as parseKeyList takes it */
export function parseRecordingKeys(text: string): Parsed<RecordingKeys> {
  const keys = parseKeyList(text);
  if (!keys.ok) return keys;
  const byId = new Map<string, RecordingKey>();
  for (const [id, bytes] of keys.value)
    byId.set(id, { id, cipherKey: derive(bytes, "cipher"), hash: createShortHmac(derive(bytes, "hash")) });
  return { ok: true, value: { current: byId.values().next().value!, byId } };
}

function derive(bytes: Buffer, use: "cipher" | "hash"): Buffer {
  return Buffer.from(hkdfSync("sha256", bytes, "", `tollgate recording v1 ${use}`, KEY_BYTES));
}

/** `<key id>:<hexadecimal>`: who has the key can tell whether two texts are the same, and nobody can guess them. */
export function keyedHash(keys: RecordingKeys, text: string): string {
  const { id, hash } = keys.current;
  return `${id}:${hash(text)}`;
}

/** Encrypts what is to be kept of a call. What does not fit any more is named instead, the result before the arguments. */
export function sealRecording(options: {
  keys: RecordingKeys;
  callId: string;
  parts: Readonly<Partial<Record<Recordable, string | Uint8Array>>>;
}): Recording {
  const { keys, callId, parts } = options;
  const { id: keyId, cipherKey } = keys.current;
  const sealed: Partial<Record<Recordable, string>> = {};
  const omitted: Recordable[] = [];
  let bytesLeft = RECORDED_BYTES_MAX;
  for (const part of RECORDABLE) {
    const text = parts[part];
    if (text === undefined) continue;
    const size = Buffer.byteLength(text);
    if (size > bytesLeft) {
      omitted.push(part);
      continue;
    }
    bytesLeft -= size;
    sealed[part] = sealWith(cipherKey, `${callId}.${part}`, text, randomBytes);
  }
  return { keyId, ...sealed, ...(omitted.length === 0 ? {} : { omitted }) };
}

/**
 * What was kept of a call.
 * @throws {AppError} failed_precondition when its key is not here any more, or when it is another call's or changed
 */
export function openRecording(options: {
  keys: RecordingKeys;
  callId: string;
  recording: Recording;
}): Partial<Record<Recordable, string>> {
  const { keys, callId, recording } = options;
  const key = keys.byId.get(recording.keyId);
  if (key === undefined)
    throw new AppError("failed_precondition", `the recording's key ${recording.keyId} is not among the keys here`);
  const opened: Partial<Record<Recordable, string>> = {};
  for (const part of RECORDABLE) {
    const sealed = recording[part];
    if (sealed === undefined) continue;
    const text = openWith(key.cipherKey, `${callId}.${part}`, sealed);
    if (text === undefined)
      throw new AppError(
        "failed_precondition",
        `the recorded ${part} of ${callId} cannot be opened: they were changed`,
      );
    opened[part] = text.toString("utf8");
  }
  return opened;
}
