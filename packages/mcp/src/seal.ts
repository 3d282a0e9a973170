import { createHmac, timingSafeEqual } from "node:crypto";

const MARK = "tg1.";
const MAC_BYTES = 16;
/** Longer ones are not ours: nobody makes us compute over megabytes. */
const SEALED_MAX_CHARS = 1024 * 1024;

/**
 * What the gateway gives a client to keep and to bring back: where a request belongs, and whose it is. Signed, so that
 * it comes back as it went out; readable, so it must hold nothing that its client may not know. One sealer for each
 * purpose: what was sealed for one is not valid for another.
 */
export interface Sealer<T extends object> {
  /** Characters of base64url and dots: fit for headers, subjects and URLs. */
  seal(content: T): string;
  /** Undefined for anything that was not sealed by this key for this purpose. */
  open(text: unknown): T | undefined;
}

function createSealer<T extends object>(key: string, purpose: string): Sealer<T> {
  const macOf = (body: string) =>
    createHmac("sha256", key).update(`${purpose}\n${body}`).digest().subarray(0, MAC_BYTES);
  return {
    seal(content) {
      const body = Buffer.from(JSON.stringify(content)).toString("base64url");
      return `${MARK}${body}.${macOf(body).toString("base64url")}`;
    },
    open(text) {
      if (typeof text !== "string" || !text.startsWith(MARK) || text.length > SEALED_MAX_CHARS) return undefined;
      const [body, mac, more] = text.slice(MARK.length).split(".");
      if (body === undefined || mac === undefined || more !== undefined) return undefined;
      const given = Buffer.from(mac, "base64url");
      if (given.length !== MAC_BYTES || !timingSafeEqual(given, macOf(body))) return undefined;
      return JSON.parse(Buffer.from(body, "base64url").toString("utf8")) as T;
    },
  };
}

/** Whose something sealed is. */
export interface Owned {
  readonly tenant: string;
  readonly principal: string;
  readonly server: string;
  /** The runner that holds what this stands for, where one does. */
  readonly runner?: string;
}

/** A server's `requestState`, or the call that a runner keeps waiting for its client's answers. */
export interface SealedState extends Owned {
  /** Unix milliseconds. */
  readonly expiresAt: number;
  /** The method and the name or uri of the request that it belongs to: no other may bring it back. */
  readonly method: string;
  readonly name: string;
  /** The server's own state, where it gave one. */
  readonly state?: string;
  /** The call that waits in `runner`. */
  readonly parked?: string;
  /** The approval that the call waits for: no server has seen it yet. */
  readonly approval?: string;
}

/** A task: the id that its server knows it by, and the tool that made it, which decides who may ask for it. */
export interface SealedTask extends Owned {
  readonly task: string;
  readonly tool: string;
  /** The session whose connection it lives on. */
  readonly session?: string;
}

export function createSealers(key: string): { state: Sealer<SealedState>; task: Sealer<SealedTask> } {
  return { state: createSealer(key, "state"), task: createSealer(key, "task") };
}
export type Sealers = ReturnType<typeof createSealers>;
