import type { DesiredVault } from "@tollgate/desired-state";
import { AppError } from "@tollgate/errors";
import type { SecretAnswer } from "../domain/secret.ts";
import { type JsonAnswer, openJsonHttp } from "./json-http.ts";

// HashiCorp Vault: the KV secrets engine, version 2, and the two ways in.
// https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2, /api-docs/auth/approle, /api-docs/auth/token

const VALUE_MAX_BYTES = 64 * 1024;
const DEFAULT_FIELD = "value";
/** A token is renewed, or got anew, when so much of its time is over. */
const RENEW_AT = 2 / 3;

/** Whoever may ask Vault, and until when. Monotonic milliseconds. */
interface Session {
  readonly token: string;
  readonly renewAtMs: number;
  readonly renewable: boolean;
}

export interface Vault {
  /** @throws {AppError} unavailable when Vault is away, or lets nobody in: then all secrets are concerned */
  read(name: string, signal: AbortSignal): Promise<SecretAnswer>;
  close(): void;
}

/** @throws what reading `caFile` throws */
export function openVault(settings: DesiredVault): Vault {
  const { login, namespace, mount } = settings;
  const http = openJsonHttp(settings);
  let session: Promise<Session> | undefined;

  const ask = (
    method: "GET" | "POST",
    path: string,
    options: { token?: string; body?: unknown; signal: AbortSignal },
  ) => {
    const headers = {
      "x-vault-request": "true",
      ...(namespace === undefined ? {} : { "x-vault-namespace": namespace }),
      ...(options.token === undefined ? {} : { "x-vault-token": options.token }),
    };
    return http.send({ method, path: `/v1/${path}`, headers, body: options.body, signal: options.signal });
  };

  async function logIn(signal: AbortSignal): Promise<Session> {
    if ("token" in login) return lookUp(login.token, signal);
    const body = { role_id: login.roleId, secret_id: login.secretId };
    const answer = await ask("POST", "auth/approle/login", { body, signal });
    const granted = grantOf(answer);
    if (granted === undefined) throw refused("the AppRole", answer);
    return granted;
  }

  /** A token may be without the right to look at itself: then it is used as long as it is taken. */
  async function lookUp(token: string, signal: AbortSignal): Promise<Session> {
    const answer = await ask("GET", "auth/token/lookup-self", { token, signal });
    const { ttl, renewable } = objectIn(answer.body, "data");
    return toSession(token, answer.status === 200 ? ttl : 0, renewable);
  }

  async function renew(old: Session, signal: AbortSignal): Promise<Session> {
    if (!old.renewable) return logIn(signal);
    const answer = await ask("POST", "auth/token/renew-self", { token: old.token, body: {}, signal });
    return grantOf(answer) ?? logIn(signal);
  }

  /** One at a time logs in; one that could not is tried anew by the next who asks. */
  async function enter(signal: AbortSignal): Promise<Session> {
    const entering = (session ??= logIn(signal));
    try {
      const current = await entering;
      if (performance.now() < current.renewAtMs) return current;
      // Whoever comes first renews it for all.
      if (session === entering) session = renew(current, signal);
      return await session;
    } catch (error) {
      session = undefined;
      throw error;
    }
  }

  return {
    async read(name, signal) {
      const { path, field } = settings.paths[name] ?? { path: settings.prefix + name, field: DEFAULT_FIELD };
      const place = `${mount}/data/${path}`;
      let answer = await ask("GET", place, { token: (await enter(signal)).token, signal });
      if (answer.status === 403 && !("token" in login)) {
        // Revoked before its time, perhaps.
        session = undefined;
        answer = await ask("GET", place, { token: (await enter(signal)).token, signal });
      }
      return toAnswer(answer, { path: `${mount}/${path}`, field });
    },
    close: http.close,
  };
}

function grantOf({ status, body }: JsonAnswer): Session | undefined {
  const { client_token: token, lease_duration: ttl, renewable } = objectIn(body, "auth");
  return status === 200 && typeof token === "string" ? toSession(token, ttl, renewable) : undefined;
}

/** @param ttl seconds; 0: without an end */
function toSession(token: string, ttl: unknown, renewable: unknown): Session {
  const ends = typeof ttl === "number" && ttl > 0;
  const renewAtMs = ends ? performance.now() + ttl * 1_000 * RENEW_AT : Number.POSITIVE_INFINITY;
  return { token, renewAtMs, renewable: renewable === true };
}

function refused(who: string, { status }: JsonAnswer): AppError {
  return new AppError("unavailable", `Vault does not let ${who} in (status ${status})`);
}

function toAnswer({ status, body }: JsonAnswer, { path, field }: { path: string; field: string }): SecretAnswer {
  const failed = (reason: string) => ({ kind: "failed", reason: `Vault, ${path}: ${reason}` }) as const;
  // Also for one whose newest version was deleted.
  if (status === 404) return { kind: "absent" };
  if (status === 403) return failed("permission denied");
  if (status !== 200) throw new AppError("unavailable", `Vault has answered ${status}`);
  const outer = objectIn(body, "data");
  const value = objectIn(outer, "data")[field];
  const { version } = objectIn(outer, "metadata");
  if (typeof value !== "string") return failed(`has no text in the field ${field}`);
  if (Buffer.byteLength(value) > VALUE_MAX_BYTES) return failed(`${field} is larger than 64 KiB`);
  return { kind: "found", value, version: typeof version === "number" ? version : 0, servers: [] };
}

/** Empty where there is none. */
function objectIn(value: unknown, key: string): Record<string, unknown> {
  const found = (value as Record<string, unknown> | null | undefined)?.[key];
  return typeof found === "object" && found !== null ? (found as Record<string, unknown>) : {};
}
