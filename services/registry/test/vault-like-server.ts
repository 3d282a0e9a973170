import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";

// What Tollgate uses of Vault's HTTP API, as its documentation has it:
// https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2#read-secret-version
// https://developer.hashicorp.com/vault/api-docs/auth/approle#login-with-approle
// https://developer.hashicorp.com/vault/api-docs/auth/token (lookup-self, renew-self)

interface Token {
  expiresAtMs: number;
  readonly renewable: boolean;
}

export interface VaultLikeServer {
  readonly url: string;
  /** By the path below the mount: a new version of it. */
  write(path: string, data: Record<string, unknown>): void;
  remove(path: string): void;
  /** Seconds that tokens of the AppRole live; they can be renewed where it says so. */
  grants: { ttlSeconds: number; renewable: boolean };
  /** Paths that nobody may read. */
  readonly denied: Set<string>;
  /** What else it does than what it should: answers so, or not at all. */
  behave: "well" | { readonly status: number; readonly body?: string } | "silent";
  /** Ends all tokens. */
  revokeAll(): void;
  /** Method and path of every request, without /v1/. */
  readonly requests: string[];
  readonly namespaces: Set<string>;
  close(): Promise<void>;
}

export const ROLE = { roleId: "role-of-registry", secretId: "secret-id-of-registry" };
export const ROOT_TOKEN = "root-token-of-vault";

/** @param tls without it, it speaks HTTP */
export async function startVaultLikeServer(tls?: { cert: string; key: string }): Promise<VaultLikeServer> {
  const secrets = new Map<string, { version: number; data: Record<string, unknown> }>();
  const tokens = new Map<string, Token>([[ROOT_TOKEN, { expiresAtMs: Number.POSITIVE_INFINITY, renewable: false }]]);
  const handle = (request: IncomingMessage, response: ServerResponse): void => void answer(request, response);
  const server = tls === undefined ? createServer(handle) : createTlsServer(tls, handle);

  const vault: Omit<VaultLikeServer, "url" | "close"> = {
    write(path, data) {
      secrets.set(path, { version: (secrets.get(path)?.version ?? 0) + 1, data });
    },
    remove: (path) => void secrets.delete(path),
    grants: { ttlSeconds: 3_600, renewable: true },
    denied: new Set(),
    behave: "well",
    revokeAll: () => tokens.clear(),
    requests: [],
    namespaces: new Set(),
  };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = String(request.url).replace(/^\/v1\//, "");
    vault.requests.push(`${request.method} ${path}`);
    vault.namespaces.add(String(request.headers["x-vault-namespace"] ?? ""));
    let body = "";
    for await (const chunk of request) body += String(chunk);
    if (vault.behave === "silent") return;
    const [status, said] =
      vault.behave === "well"
        ? answerTo(`${request.method} ${path}`, String(request.headers["x-vault-token"]), body)
        : [vault.behave.status, vault.behave.body ?? { errors: ["as told"] }];
    response.writeHead(status, { "content-type": "application/json" });
    response.end(typeof said === "string" ? said : JSON.stringify(said));
  }

  function answerTo(asked: string, token: string, body: string): [number, object] {
    if (asked === "POST auth/approle/login") {
      const { role_id, secret_id } = JSON.parse(body) as Record<string, unknown>;
      if (role_id !== ROLE.roleId || secret_id !== ROLE.secretId)
        return [400, { errors: ["invalid role or secret ID"] }];
      return [200, grant(`hvs.${randomUUID()}`)];
    }
    const known = tokens.get(token);
    if (known === undefined || known.expiresAtMs < Date.now()) return [403, { errors: ["permission denied"] }];
    const ttl = Number.isFinite(known.expiresAtMs) ? Math.ceil((known.expiresAtMs - Date.now()) / 1_000) : 0;
    if (asked === "GET auth/token/lookup-self") return [200, { data: { ttl, renewable: known.renewable } }];
    if (asked === "POST auth/token/renew-self")
      return known.renewable ? [200, grant(token)] : [400, { errors: ["lease is not renewable"] }];
    const path = /^GET secret\/data\/(.+)$/.exec(asked)?.[1] ?? "";
    if (vault.denied.has(path)) return [403, { errors: ["1 error occurred:\n\t* permission denied\n\n"] }];
    const found = secrets.get(path);
    if (found === undefined) return [404, { errors: [] }];
    const metadata = {
      version: found.version,
      created_time: "2026-11-21T07:00:00Z",
      deletion_time: "",
      destroyed: false,
    };
    return [200, { request_id: randomUUID(), data: { data: found.data, metadata } }];
  }

  function grant(token: string): object {
    const { ttlSeconds, renewable } = vault.grants;
    tokens.set(token, { expiresAtMs: Date.now() + ttlSeconds * 1_000, renewable });
    return { auth: { client_token: token, lease_duration: ttlSeconds, renewable, policies: ["tollgate"] } };
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(vault, {
    url: `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}
