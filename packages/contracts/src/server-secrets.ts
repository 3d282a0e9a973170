/** What may be secret in how a server is started or reached. */
export interface ServerSecrets {
  readonly env: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly url: string;
  /** What each `${NAME}` and `${secret:NAME}` anywhere in its entry stands for. */
  readonly secrets: readonly string[];
}

/** Shorter values are everyday words and numbers: hiding them would garble a text and keep nothing secret. */
const SECRET_MIN_CHARS = 8;
/** Most steps of a url's path are everyday words too, but some hosts put a key there. */
const PATH_SECRET_MIN_CHARS = 16;

/**
 * Takes out of a text whatever may be secret in how its server is started or reached: the values of its variables, of
 * its headers and of its url's query, long steps of its url's path, and what each `${NAME}` and `${secret:NAME}` anywhere in its entry stands
 * for. A server that does not start may print its own environment, and one that is not reached has its url in the error.
 */
export function hideSecrets(text: string, server: ServerSecrets | undefined): string {
  if (!server) return text;
  const values = [
    ...Object.values(server.env),
    // "Bearer SECRET" is a secret as a whole and in its parts.
    ...Object.values(server.headers).flatMap((value) => [value, ...value.split(/\s+/)]),
    ...urlSecrets(server.url),
    // A key of several lines may come line by line.
    ...server.secrets.flatMap((value) => [value, ...value.split("\n")]),
  ];
  const secrets = values
    .filter((value) => value.length >= SECRET_MIN_CHARS)
    // As it is, and as it is written in a url.
    .flatMap((value) => [value, encodeURIComponent(value.toWellFormed()), encodeURI(value.toWellFormed())])
    // The longest first: one may contain another.
    .toSorted((a, b) => b.length - a.length);
  return secrets.reduce((rest, secret) => rest.replaceAll(secret, "[secret]"), text);
}

/** Values of the query as they stand in the url and decoded, and long steps of the path. */
function urlSecrets(text: string): string[] {
  const url = URL.parse(text);
  if (url === null) return [];
  const written = url.search.split("&").map((part) => part.slice(part.indexOf("=") + 1));
  const steps = url.pathname.split("/").filter((step) => step.length >= PATH_SECRET_MIN_CHARS);
  return [...written, ...url.searchParams.values(), ...steps];
}
