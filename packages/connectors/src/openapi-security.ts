import type { AuthEntry } from "./entry.ts";
import { type Fields, fieldsAt, type OpenApi, resolve, textAt } from "./openapi-document.ts";
import { baseUrlOf } from "./openapi.ts";
import type { ConnectorOperation } from "./operation.ts";

/** `auth` is as in a connector's entry, with `${secret:NAME}` for what is secret. */
export interface Security {
  readonly auth?: AuthEntry;
  /** Names of secrets that have to be set, and the security scheme that each is for. */
  readonly secrets: readonly { readonly name: string; readonly from: string }[];
  readonly warnings: readonly string[];
}

const SCOPES_MAX = 100;
const SCOPE_MAX_CHARS = 256;

/**
 * How the API wants to be called, by its security schemes: the one that most of the operations ask for.
 * @param options.prefix of the secrets' names: the connector's id
 */
export function securityOf(
  openapi: OpenApi,
  operations: readonly ConnectorOperation[],
  options: { prefix: string; from?: string },
): Security {
  const counted = new Map<string, number>();
  for (const { security } of operations)
    for (const name of security ?? []) counted.set(name, (counted.get(name) ?? 0) + 1);
  const names = [...counted].toSorted(([, one], [, other]) => other - one).map(([name]) => name);
  const usable = names.map((name) => ({ name, ...schemeOf(openapi, name, options) }));
  const chosen = usable.find(({ auth }) => auth !== undefined);
  const open = usable.find(({ warning }) => warning !== undefined);
  const warnings = [(chosen ?? open)?.warning].filter((each) => each !== undefined);
  const others = names.filter((name) => name !== chosen?.name);
  if (chosen !== undefined && others.length > 0)
    warnings.push(`auth is for the security scheme ${chosen.name}; operations ask for ${others.join(", ")} too`);
  if (chosen?.auth === undefined) return { secrets: [], warnings };
  const secrets = [...JSON.stringify(chosen.auth).matchAll(/\$\{secret:([^}]*)\}/g)].map(([, name]) => ({
    name: name!,
    from: chosen.name,
  }));
  return { auth: chosen.auth, secrets, warnings };
}

interface Scheme {
  readonly auth?: AuthEntry;
  readonly warning?: string;
}

function schemeOf(openapi: OpenApi, name: string, { prefix, from }: { prefix: string; from?: string }): Scheme {
  const scheme = resolve(openapi, fieldsAt(openapi.root["components"], "securitySchemes")[name]) ?? {};
  const secret = (what: string) => `\${secret:${prefix}.${what}}`;
  const kind = `${String(scheme["type"])} ${textAt(scheme, "scheme") ?? ""}`.trim().toLowerCase();
  switch (kind) {
    case "http bearer":
      return { auth: { type: "bearer", token: secret("token") } };
    case "http basic":
      return { auth: { type: "basic", user: secret("user"), password: secret("password") } };
    case "apikey":
      return apiKeyOf(scheme, name, secret("key"));
    case "oauth2":
      return oauthOf(scheme, name, { secret, base: baseUrlOf(openapi, from) });
    case "openidconnect": {
      const warning = `${name}: sign-in of people is not done here; the secret has to be an access token`;
      return { auth: { type: "bearer", token: secret("token") }, warning };
    }
    default:
      return { warning: `${name}: this kind of security is not supported; nothing is sent for it` };
  }
}

function apiKeyOf(scheme: Fields, name: string, value: string): Scheme {
  const place = (["header", "query", "cookie"] as const).find((each) => each === scheme["in"]);
  const key = textAt(scheme, "name") ?? "";
  if (place === undefined || !/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/.test(key))
    return { warning: `${name}: the document does not say where its key goes` };
  return { auth: { type: "api_key", name: key, in: place, value } };
}

function oauthOf(
  scheme: Fields,
  name: string,
  { secret, base }: { secret: (what: string) => string; base: string | undefined },
): Scheme {
  const flow = fieldsAt(scheme["flows"], "clientCredentials");
  const url = URL.parse(textAt(flow, "tokenUrl") ?? "", base);
  if (url === null || !/^https?:\/\/[^@?#]+$/.test(url.href)) {
    const warning = `${name}: only client credentials are done here; the secret has to be an access token`;
    return { auth: { type: "bearer", token: secret("token") }, warning };
  }
  const scopes = Object.keys(fieldsAt(flow, "scopes"))
    .filter((scope) => scope !== "" && scope.length <= SCOPE_MAX_CHARS)
    .slice(0, SCOPES_MAX);
  return {
    auth: {
      type: "oauth_client_credentials",
      token_url: url.href,
      client_id: secret("client_id"),
      client_secret: secret("client_secret"),
      ...(scopes.length === 0 ? {} : { scopes }),
    },
    ...(scopes.length > 1
      ? { warning: `${name}: all its scopes are asked for; leave only those that are needed` }
      : {}),
  };
}
