import { type ApiRequest, type ConnectorAuth, type OauthClientCredentials, withQuery } from "@tollgate/connectors";
import { RequestFailure } from "./request-failure.ts";

/** How long before its end a token is replaced, but no more than a tenth of its time. */
const RENEW_MAX_MS = 30_000;
/** Of a token that does not say when it ends. */
const LIFETIME_MS = 300_000;
/** A token's url that has refused is not asked again at once. */
const REFUSED_MS = 2_000;
const TOKEN = /^[\x21-\x7e]+$/;

/** What every request of a connector says of who asks. */
export interface Authorizer {
  /** @throws {RequestFailure} where no token is to be had; then nothing was sent */
  authorize(request: ApiRequest): Promise<ApiRequest>;
  /** The API has refused what was said so. False where nothing else could be said. */
  renew(request: ApiRequest): boolean;
  /** What must not be shown of what is said now. */
  secrets(): string[];
}

/** Posts a form. Gives the status and the body of the answer. */
export type PostForm = (
  form: string,
  headers: Readonly<Record<string, string>>,
) => Promise<{ readonly status: number; readonly text: string }>;

export function createAuthorizer(auth: ConnectorAuth, options: { postForm: PostForm; now: () => number }): Authorizer {
  switch (auth.type) {
    case "none":
      return fixed((request) => request, []);
    case "bearer":
      return fixed((request) => withHeader(request, "authorization", `Bearer ${auth.token}`), [auth.token]);
    case "basic": {
      const words = Buffer.from(`${auth.user}:${auth.password}`).toString("base64");
      return fixed((request) => withHeader(request, "authorization", `Basic ${words}`), [auth.password, words]);
    }
    case "api_key":
      return fixed((request) => withKey(request, auth), [auth.value, encodeURIComponent(auth.value)]);
    case "oauth_client_credentials":
      return tokenAuthorizer(auth, options);
  }
}

function fixed(apply: (request: ApiRequest) => ApiRequest, secrets: string[]): Authorizer {
  return { authorize: (request) => Promise.resolve(apply(request)), renew: () => false, secrets: () => secrets };
}

function withHeader(request: ApiRequest, name: string, value: string): ApiRequest {
  return { ...request, headers: { ...request.headers, [name]: value } };
}

function withKey(request: ApiRequest, { in: place, name, value }: ConnectorAuth & { type: "api_key" }): ApiRequest {
  if (place === "query") return { ...request, path: withQuery(request.path, name, value) };
  if (place === "header") return withHeader(request, name.toLowerCase(), value);
  const { cookie } = request.headers;
  const own = `${name}=${encodeURIComponent(value)}`;
  return withHeader(request, "cookie", cookie === undefined ? own : `${cookie}; ${own}`);
}

interface Token {
  readonly value: string;
  readonly renewAt: number;
}

/** One token for all requests; who needs it while it is got waits for the same. */
function tokenAuthorizer(
  auth: OauthClientCredentials,
  { postForm, now }: { postForm: PostForm; now: () => number },
): Authorizer {
  let token: Token | undefined;
  let getting: Promise<Token> | undefined;
  let refused: { readonly error: RequestFailure; readonly until: number } | undefined;

  async function get(): Promise<Token> {
    if (token !== undefined && now() < token.renewAt) return token;
    if (refused !== undefined && now() < refused.until) throw refused.error;
    getting ??= fetchToken(auth, { postForm, now }).finally(() => (getting = undefined));
    try {
      token = await getting;
      refused = undefined;
      return token;
    } catch (error) {
      refused = { error: noAccess(error), until: now() + REFUSED_MS };
      throw refused.error;
    }
  }

  const header = (value: string) => `Bearer ${value}`;
  return {
    authorize: async (request) => withHeader(request, "authorization", header((await get()).value)),
    renew({ headers }) {
      if (token !== undefined && headers["authorization"] === header(token.value)) token = undefined;
      return true;
    },
    secrets: () => [auth.clientSecret, ...(token === undefined ? [] : [token.value])],
  };
}

/** RFC 6749, section 4.4.2. */
async function fetchToken(
  auth: OauthClientCredentials,
  { postForm, now }: { postForm: PostForm; now: () => number },
): Promise<Token> {
  const { clientId, clientSecret, scopes, audience, clientAuth } = auth;
  const form = new URLSearchParams({ grant_type: "client_credentials" });
  if (scopes.length > 0) form.set("scope", scopes.join(" "));
  if (audience !== "") form.set("audience", audience);
  const headers: Record<string, string> = {};
  if (clientAuth === "body") {
    form.set("client_id", clientId);
    form.set("client_secret", clientSecret);
  } else {
    // Section 2.3.1: both are encoded as in a form.
    const [user, password] = [clientId, clientSecret].map((text) =>
      new URLSearchParams({ v: text }).toString().slice(2),
    );
    headers["authorization"] = `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
  }
  const { status, text } = await postForm(form.toString(), headers);
  const answer = parsed(text);
  const { access_token: value, expires_in: seconds, error } = answer;
  if (status === 200 && typeof value === "string" && TOKEN.test(value)) {
    const lifetimeMs = Number(seconds) > 0 ? Number(seconds) * 1_000 : LIFETIME_MS;
    return { value, renewAt: now() + lifetimeMs - Math.min(RENEW_MAX_MS, lifetimeMs / 10) };
  }
  const why = typeof error === "string" ? ` (${error.slice(0, 100)})` : "";
  throw new RequestFailure(`answered HTTP ${status}${why}`, { notDelivered: false });
}

/** Whatever became of the request for a token: the one that it was for has not left. */
function noAccess(error: unknown): RequestFailure {
  const { message } = error as Error;
  const reason = error instanceof RequestFailure ? message : `failed: ${message}`;
  return new RequestFailure(`gives no access: its token_url ${reason}`, { notDelivered: true });
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    return (JSON.parse(text) ?? {}) as Readonly<Record<string, unknown>>;
  } catch {
    return {};
  }
}
