import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { loadDesiredState } from "./load.ts";
import { KNOWN_KEYS } from "./schema.ts";

interface Documented {
  readonly key: string;
  /** As it would stand in the file; empty where there is none. */
  readonly byDefault: string;
}

const text = await readFile(new URL("../../../docs/configuration.md", import.meta.url), "utf8");
const places = placesIn(text);
const examples = [...text.matchAll(/^```yaml\n([^]*?)^```$/gm)].map(([, yaml]) => yaml!);

/** Each heading with a table whose first column is called "key"; that of the whole file names no place. */
function placesIn(markdown: string): Map<string, Documented[]> {
  const found = new Map<string, Documented[]>();
  for (const section of markdown.split(/^##+ /m).slice(1)) {
    const place = section.startsWith("The file\n") ? "" : /^`([^`]+)`\n/.exec(section)?.[1];
    const table = /^\| key [^]*?(?=\n\n|$(?![^]))/m.exec(section)?.[0];
    if (place === undefined || table === undefined) continue;
    const rows = [...table.matchAll(/^\| `([^`]+)` +\| (?:`([^`]+)`)? *\|/gm)];
    found.set(
      place,
      rows.map(([, key, byDefault]) => ({ key: key!, byDefault: byDefault ?? "" })),
    );
  }
  return found;
}

function load(yaml: string) {
  const env = Object.fromEntries([...yaml.matchAll(/\$\{(\w+)\}/g)].map(([, name]) => [name, `value-of-${name}`]));
  return loadDesiredState(yaml, { file: "/etc/tollgate.yaml", env });
}

test("the documented places are those that there are", () => {
  expect([...places.keys()].toSorted()).toEqual(Object.keys(KNOWN_KEYS).toSorted());
});

test.each(Object.entries(KNOWN_KEYS))("the documented keys of %j are those that there are", (place, keys) => {
  expect(
    places
      .get(place)
      ?.map(({ key }) => key)
      .toSorted(),
  ).toEqual(keys.toSorted());
});

test.each(examples.map((yaml) => [yaml.slice(0, 200), yaml]))(
  "an example loads, without a warning: %s",
  (_start, yaml) => {
    expect(load(yaml).warnings).toEqual([]);
  },
);

test("each part of a server, plans and tenants, and policies have an example", () => {
  const all = examples.join("\n");
  for (const part of ["plans", "tenants", "pool", "limits", "sandbox", "tools", "fallback", "policies", "conditions"])
    expect(all).toMatch(new RegExp(`\\b${part}:`));
});

describe("the documented defaults are those that there are", () => {
  const given = (place: string): string =>
    places
      .get(place)!
      .filter(({ byDefault }) => byDefault !== "")
      .map(({ key, byDefault }) => `${key}: ${byDefault}`)
      .join(", ");
  const server = (rest: string) =>
    `groups: [{ id: g }]\nmcp_servers: [{ id: a, group: g, type: command, command: x${rest} }]`;
  const withoutWritten = (yaml: string) => load(yaml).servers.map((each) => ({ ...each, written: undefined }));

  test.each(["pool", "limits", "sandbox"])("of a server's %s", (part) => {
    const keys = given(`mcp_servers.${part}`);
    expect(keys.split(", ").length).toBeGreaterThan(3);
    expect(withoutWritten(server(`, ${part}: { ${keys} }`))).toEqual(withoutWritten(server("")));
  });

  test("of a server", () => {
    // transport and headers are of another type.
    const keys = given("mcp_servers").replace("transport: auto, headers: {}, ", "");
    expect(withoutWritten(server(`, ${keys}`))).toEqual(withoutWritten(server("")));
  });

  test("of a connector", () => {
    const connector = (rest: string) =>
      `groups: [{ id: g, connectors: [{ id: a, base_url: "https://a.example"${rest} }] }]`;
    const own = ", operations: [{ name: a, method: GET, path: /a, parameters: [{ name: p, in: query }] }]";
    const keys = given("groups.connectors").replace("operations: [], ", "");
    const parts = ["retry", "result", "limits"].map((part) => `${part}: { ${given(`groups.connectors.${part}`)} }`);
    const rate = (rest: string) => `, rate_limit: { requests: 3${rest} }`;
    const plain = withoutWritten(connector(own + rate("")));
    expect(withoutWritten(connector(`${own}${rate(`, ${given("groups.connectors.rate_limit")}`)}, ${keys}`))).toEqual(
      plain,
    );
    expect(withoutWritten(connector(`${own}${rate("")}, ${parts.join(", ")}`))).toEqual(plain);
  });

  test("of the control plane", () => {
    const token = "name: a, token: abcdef";
    const limits = `limits: { ${given("control_plane.limits")} }`;
    const auth = (rest: string) => `auth: { tokens: [{ ${token}${rest} }] }`;
    const whole = `control_plane: { ${given("control_plane")}, ${limits}, ${auth(`, ${given("control_plane.auth.tokens")}`)} }`;
    expect(load(whole).controlPlane).toEqual(load(`control_plane: { ${auth("")} }`).controlPlane);
  });

  test("of an issuer", () => {
    const issuer = (rest: string) =>
      `control_plane: { auth: { oauth: { issuer: "https://login.example.com"${rest} } } }`;
    const keys = `${given("control_plane.auth.oauth")}, claims: { ${given("control_plane.auth.oauth.claims")} }`;
    expect(load(issuer(`, ${keys}`)).controlPlane).toEqual(load(issuer("")).controlPlane);
  });

  test("of the stores of secrets", () => {
    const vault = (rest: string) => `vault: { url: "https://vault.example.com", token: abc${rest} }`;
    const file = (keys: string, rest: string) => `secrets: { stores: [vault]${keys}, ${vault(rest)} }`;
    const keys = `, ${given("secrets").replace("stores: [files, tollgate], ", "")}`;
    expect(load(file(keys, `, ${given("secrets.vault")}`)).secretStores).toEqual(load(file("", "")).secretStores);
    expect(load("secrets: {}").secretStores.stores).toEqual(["files", "tollgate"]);
  });

  test("of plans, tenants and policies", () => {
    const policy = 'name: p, effect: allow, principals: ["*"], actions: ["*"], resources: ["*"]';
    const file = (plan: string, tenant: string, conditions: string) =>
      `plans: [{ name: p${plan} }]\ntenants: [{ id: t${tenant} }]\npolicies: [{ ${policy}${conditions} }]`;
    const conditions = `, conditions: { ${given("policies.conditions")} }`;
    const plain = load(file("", "", ""));
    const { tenants, policies } = load(file(`, ${given("plans")}`, `, ${given("tenants")}`, conditions));
    expect({ tenants, policies }).toEqual({ tenants: plain.tenants, policies: plain.policies });
  });
});
