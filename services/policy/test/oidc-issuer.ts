import { createHash, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { exportJWK } from "jose";
import { newKey, type SigningKey } from "./issuer.ts";

const SECRET = "client-secret-0123456789";
const REDIRECT_URI = "http://127.0.0.1:9/callback";
const STEPS_MAX = 10;

/** The package comes without types: here is what is used of it. */
interface Provider {
  callback(): (request: IncomingMessage, response: ServerResponse) => Promise<void>;
  interactionDetails(
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<{ readonly params: { readonly client_id: string } }>;
  interactionFinished(request: IncomingMessage, response: ServerResponse, result: object): Promise<void>;
  readonly Grant: new (of: { accountId: string; clientId: string }) => {
    addOIDCScope(scope: string): void;
    addResourceScope(resource: string, scope: string): void;
    save(): Promise<string>;
  };
}
const { Provider } = createRequire(import.meta.url)("oidc-provider") as {
  Provider: new (issuer: string, configuration: object) => Provider;
};

interface OidcOptions {
  /** What tokens are for. */
  readonly resource: string;
  /** Claims of every access token beside the issuer's own. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** A real OpenID provider, as companies have one: discovery, rotation of its keys, service accounts, and people who sign in. */
export async function startOidcIssuer({ resource, claims }: OidcOptions) {
  let key = await newKey("first");
  let provider: Provider;

  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url!.startsWith("/interaction/")) await signIn(request, response);
    else await provider.callback()(request, response);
  }

  /** Whoever comes is alice, has shown a second factor, and agrees. */
  async function signIn(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { params } = await provider.interactionDetails(request, response);
    const grant = new provider.Grant({ accountId: "alice", clientId: params.client_id });
    grant.addOIDCScope("openid");
    grant.addResourceScope(resource, "mcp");
    const login = { accountId: "alice", amr: ["pwd", "otp", "mfa"], acr: "urn:acme:gold" };
    await provider.interactionFinished(request, response, { login, consent: { grantId: await grant.save() } });
  }

  async function open(...keys: SigningKey[]): Promise<void> {
    const jwks = await Promise.all(
      keys.map(async ({ kid, alg, privateKey }) => ({ ...(await exportJWK(privateKey)), kid, alg, use: "sig" })),
    );
    provider = new Provider(issuer, configuration({ resource, claims, jwks }));
  }
  await open(key);

  async function token(form: Readonly<Record<string, string>>, client: string): Promise<string> {
    const authorization = `Basic ${Buffer.from(`${client}:${SECRET}`).toString("base64")}`;
    const body = new URLSearchParams(form);
    const answered = await fetch(`${issuer}/token`, { method: "POST", headers: { authorization }, body });
    const { access_token: accessToken, ...rest } = (await answered.json()) as { access_token?: string };
    if (accessToken === undefined) throw new Error(`no access token: ${JSON.stringify(rest)}`);
    return accessToken;
  }

  return {
    issuer,
    /** Signs with a new key from now on, and forgets the old one. */
    async rotate(): Promise<void> {
      key = await newKey(`key-${randomBytes(4).toString("hex")}`);
      await open(key);
    },
    /** A service account's. */
    clientCredentials: (to = resource) =>
      token({ grant_type: "client_credentials", scope: "mcp", resource: to }, "service"),
    /** Alice's, by way of the browser that is played here (RFC 6749, section 4.1, with PKCE). */
    async authorizationCode(): Promise<string> {
      const verifier = randomBytes(32).toString("base64url");
      const query = new URLSearchParams({
        client_id: "desktop",
        response_type: "code",
        redirect_uri: REDIRECT_URI,
        scope: "openid mcp",
        resource,
        code_challenge: createHash("sha256").update(verifier).digest("base64url"),
        code_challenge_method: "S256",
      });
      const code = await browse(`${issuer}/auth?${query.toString()}`);
      const form = { grant_type: "authorization_code", code, redirect_uri: REDIRECT_URI, resource };
      return token({ ...form, code_verifier: verifier }, "desktop");
    },
    async close(): Promise<void> {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export type OidcIssuer = Awaited<ReturnType<typeof startOidcIssuer>>;

function configuration({ resource, claims, jwks }: OidcOptions & { jwks: readonly object[] }) {
  const client = { client_secret: SECRET, token_endpoint_auth_method: "client_secret_basic" };
  const resourceServer = {
    scope: "mcp",
    accessTokenFormat: "jwt",
    accessTokenTTL: 300,
    jwt: { sign: { alg: "ES256" } },
  };
  return {
    clients: [
      { ...client, client_id: "service", grant_types: ["client_credentials"], redirect_uris: [], response_types: [] },
      // In a native client, http and this machine are fine.
      { ...client, client_id: "desktop", application_type: "native", redirect_uris: [REDIRECT_URI] },
    ],
    jwks: { keys: jwks },
    cookies: { keys: ["a-cookie-key-of-the-tests"] },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => resource,
        useGrantedResource: () => true,
        getResourceServerInfo: (_context: unknown, audience: string) => ({ ...resourceServer, audience }),
      },
    },
    enabledJWA: { idTokenSigningAlgValues: ["ES256"] },
    clientDefaults: { id_token_signed_response_alg: "ES256" },
    findAccount: (_context: unknown, accountId: string) => ({ accountId, claims: () => ({ sub: accountId }) }),
    interactions: { url: (_context: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
    /** How the user has signed in is asked for by many resource servers; providers are set up to say it. */
    extraTokenClaims: (context: {
      oidc: { entities: { AuthorizationCode?: { amr?: string[]; acr?: string; authTime?: number } } };
    }) => {
      const { amr, acr, authTime } = context.oidc.entities.AuthorizationCode ?? {};
      return {
        ...claims,
        ...(amr === undefined ? {} : { amr }),
        ...(acr === undefined ? {} : { acr }),
        ...(authTime === undefined ? {} : { auth_time: authTime }),
      };
    },
    acrValues: ["urn:acme:gold"],
  };
}

/** Follows redirects with cookies, up to the client's own address; returns the code there. */
async function browse(from: string): Promise<string> {
  const cookies = new Map<string, string>();
  let url = from;
  for (let step = 0; step < STEPS_MAX; step++) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const response = await fetch(url, { redirect: "manual", headers: { cookie } });
    await response.body?.cancel();
    for (const set of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(set)!;
      cookies.set(name!, value!);
    }
    const location = response.headers.get("location");
    if (location === null) throw new Error(`${url} leads nowhere: ${response.status}`);
    url = new URL(location, url).href;
    if (url.startsWith(REDIRECT_URI)) return new URL(url).searchParams.get("code") ?? `refused: ${url}`;
  }
  throw new Error("too many redirects");
}
