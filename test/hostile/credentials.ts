// What somebody sends who has no good credential, or who wants to do harm with one. Each is an Authorization header, or two.
import { encode, type HostileIssuer, type Json } from "./issuer.ts";

export interface Hostile {
  readonly name: string;
  readonly headers: readonly string[];
  /** HTTP itself may refuse it, before anybody looks at the credential. */
  readonly byHttp?: boolean;
  /** Nothing but what it is worth: it is let in. */
  readonly good?: boolean;
}

const bearer = (name: string, token: string, more: Partial<Hostile> = {}): Hostile => ({
  name,
  headers: [`authorization: Bearer ${token}`],
  ...more,
});

/** Of an access token that is good but for what is said. */
export function claimsFor({ origin }: HostileIssuer, resource: string, more: Json = {}): string {
  const now = Math.floor(Date.now() / 1_000);
  const claims = { iss: origin, aud: resource, sub: "mallory", scope: "mcp", exp: now + 3_600, org: "acme", ...more };
  return JSON.stringify(claims);
}

export function hostileJwts(issuer: HostileIssuer, resource: string): Hostile[] {
  const { header, signed, strangersKey, strangersJwk, origin } = issuer;
  const now = Math.floor(Date.now() / 1_000);
  const claims = (more: Json = {}) => claimsFor(issuer, resource, more);
  const own = (name: string, more: Json) => bearer(name, signed(header(), claims(more)));
  const headed = (name: string, more: Json) => bearer(name, signed(header(more), claims(), strangersKey));
  const good = signed(header(), claims());
  const [head, payload, proof] = good.split(".") as [string, string, string];
  const raw = (name: string, text: string) => bearer(name, signed(header(), text));
  return [
    bearer("a stranger's signature", signed(header(), claims(), strangersKey)),
    bearer("no signature", `${head}.${payload}.`),
    bearer("a signature cut short", `${head}.${payload}.${proof.slice(0, -4)}`),
    bearer("another payload under a good signature", `${head}.${encode(claims({ sub: "admin" }))}.${proof}`),
    ...["none", "None", "NONE", "nOnE", ""].map((alg) =>
      bearer(`alg ${JSON.stringify(alg)}`, `${encode(header({ alg }))}.${payload}.`),
    ),
    bearer("alg none with a signature", `${encode(header({ alg: "none" }))}.${payload}.${proof}`),
    bearer("HS256 with the public key", issuer.signedWithPublicKey("HS256", claims())),
    bearer("no alg", signed(JSON.stringify({ kid: "own" }), claims())),
    bearer("alg that is no text", signed(JSON.stringify({ alg: ["ES256"], kid: "own" }), claims())),
    own("expired", { exp: now - 3_600 }),
    own("not valid yet", { nbf: now + 3_600 }),
    own("another audience", { aud: "https://mcp.other.example/mcp" }),
    own("no audience", { aud: undefined }),
    own("another issuer", { iss: "https://login.other.example" }),
    own("a list of issuers", { iss: [origin, "https://login.other.example"] }),
    own("exp that is text", { exp: String(now + 3_600) }),
    own("exp that is a list", { exp: [now + 3_600] }),
    own("no exp", { exp: undefined }),
    own("sub that is an object", { sub: { toString: "alice" } }),
    own("no sub", { sub: undefined }),
    own("sub with a line break", { sub: "alice\nadmin" }),
    own("tenant that is no name", { org: "../acme" }),
    raw("exp beyond numbers", claims().replace(/"exp":\d+/, '"exp":1e999')),
    raw("exp that is NaN", claims().replace(/"exp":\d+/, '"exp":NaN')),
    raw("exp below numbers", claims().replace(/"exp":\d+/, '"exp":-1e999')),
    raw("claims that are a list", "[1,2,3]"),
    raw("claims that are null", "null"),
    raw("claims that are no JSON", "{not json"),
    raw("claims that are empty", ""),
    raw("deep claims", "[".repeat(3_000) + "]".repeat(3_000)),
    headed("kid that climbs", { kid: "../../../../etc/passwd" }),
    headed("kid that is SQL", { kid: "' OR 1=1 --" }),
    headed("kid that is an object", { kid: { a: 1 } }),
    headed("jku of its own", { kid: "evil", jku: `${origin}/evil/keys` }),
    headed("x5u of its own", { kid: "evil", x5u: `${origin}/evil/keys` }),
    headed("key of its own", { jwk: strangersJwk }),
    bearer("thousands of roles", signed(header(), claims({ groups: Array(4_000).fill("developer") })), {
      byHttp: true,
    }),
    bearer("crit that nobody knows", signed(header({ crit: ["b64x"], b64x: true }), claims())),
    bearer("payload that is not encoded", signed(header({ crit: ["b64"], b64: false }), claims())),
    bearer("another type", signed(header({ typ: "secevent+jwt" }), claims())),
    bearer("a token within a token", signed(header({ cty: "JWT" }), JSON.stringify(good))),
    bearer("bound to a key that was not shown", signed(header(), claims({ cnf: { jkt: "x".repeat(43) } }))),
    bearer("two parts", `${head}.${payload}`),
    bearer("four parts", `${good}.${proof}`),
    bearer("five parts", `${head}.a.b.c.${proof}`),
    bearer("dots only", ".."),
    bearer("malformed base64", `${head}.!!!!.${proof}`),
    bearer("padded base64", `${head}==.${payload}==.${proof}==`),
  ];
}

/** Access tokens that are good: what they hold beside must do no harm, nor give more than it may. */
export function oddJwts(issuer: HostileIssuer, resource: string): Hostile[] {
  const { header, signed } = issuer;
  const claims = (more: Json = {}) => claimsFor(issuer, resource, more);
  const roles = Array.from({ length: 250 }, (_, i) => `r${i}`);
  const polluting = claims().replace(
    /}$/,
    ',"__proto__":{"permissions":["admin"]},"constructor":{"prototype":{"admin":true}}}',
  );
  return [
    bearer("hundreds of roles", signed(header(), claims({ groups: roles })), { good: true }),
    bearer("roles of every kind", signed(header(), claims({ groups: [1, null, {}, "../x", "ok"] })), { good: true }),
    bearer("claims that pollute", signed(header(), polluting), { good: true }),
    bearer("permissions that it gives itself", signed(header(), claims({ permissions: ["admin"], admin: true })), {
      good: true,
    }),
  ];
}

/** Whatever has no form of a token, or too much of it. */
export function hostileHeaders(token: string): Hostile[] {
  const line = (name: string, value: string, more: Partial<Hostile> = {}): Hostile => ({
    name,
    headers: [`authorization: ${value}`],
    ...more,
  });
  return [
    { name: "nothing", headers: [] },
    line("empty", ""),
    line("Bearer alone", "Bearer"),
    line("empty Bearer", "Bearer "),
    line("Basic", `Basic ${Buffer.from(`user:${token}`).toString("base64")}`),
    line("the token alone", token),
    line("another scheme", `Token ${token}`),
    line("a token with a space", `Bearer ${token} x`),
    line("a token with a tab", `Bearer\t${token}`),
    line("two tokens", `Bearer ${token}, Bearer ${token}`),
    line("quoted", `Bearer "${token}"`),
    line("NUL", `Bearer ${token}\0`, { byHttp: true }),
    line("a line break", `Bearer ${token}\nx`, { byHttp: true }),
    line("bytes above ASCII", `Bearer ${token}\u00e9\u00ff`),
    line("UTF-8", `Bearer ${Buffer.from(`${token}✓`).toString("latin1")}`, { byHttp: true }),
    line("9 KiB", `Bearer ${"x".repeat(9 * 1024)}`, { byHttp: true }),
    line("100 KiB", `Bearer ${"x".repeat(100 * 1024)}`, { byHttp: true }),
    { name: "two headers, the good one first", headers: [`authorization: Bearer ${token}`, "authorization: Bearer x"] },
    { name: "two headers, the good one last", headers: ["authorization: Bearer x", `authorization: Bearer ${token}`] },
    { name: "two headers that are the same", headers: Array(2).fill(`authorization: Bearer ${token}`) as string[] },
  ];
}

/** Near a real token: whoever guesses must not be told that he is close. */
export function nearMisses(token: string): Hostile[] {
  const last = token.at(-1) === "x" ? "y" : "x";
  return [
    bearer("a token with another end", token.slice(0, -1) + last),
    bearer("a token with another beginning", `x${token.slice(1)}`),
    bearer("a token cut short", token.slice(0, -1)),
    bearer("a token with more", `${token}x`),
    bearer("a token in capitals", token.toUpperCase()),
    bearer("a token of nobody", "tg_0123456789abcdef"),
    bearer("a SHA-256", "a".repeat(64)),
    bearer("SQL", "'--OR-1=1"),
    bearer("a name of every object", "__proto__"),
    bearer("another", "constructor"),
  ];
}
