import { AppError } from "@tollgate/errors";
import { expect, test } from "vitest";
import { loadDesiredState, type LoadOptions } from "./load.ts";

const ENV = { TOLLGATE_TOKEN: "tg_0123456789", TOLLGATE_ADMIN_TOKEN: "tga_0123456789" };
const SERVERS = "groups: [{ id: g }]\nmcp_servers: []\n";

function load(text: string, options: Partial<LoadOptions> = {}) {
  return loadDesiredState(text, { file: "/etc/tollgate.yaml", env: ENV, ...options });
}

test("a file of servers only: the installation's tokens are known and may use everything", () => {
  const state = load(SERVERS);
  expect(state.controlPlane.tokens).toEqual([
    expect.objectContaining({
      name: "default-user",
      token: ENV.TOLLGATE_TOKEN,
      permissions: ["mcp"],
    }),
    expect.objectContaining({
      name: "default-admin",
      token: ENV.TOLLGATE_ADMIN_TOKEN,
      permissions: ["mcp", "admin"],
    }),
  ]);
  expect(state.policies).toEqual([
    {
      name: "default-allow",
      effect: "allow",
      principals: ["token:default-user", "token:default-admin"],
      actions: ["*"],
      resources: ["*"],
      description: expect.stringMatching(/own tokens/),
      tenant: "",
      conditions: {},
      record: [],
      cedarText: "",
    },
  ]);
});

test.each(["policies: []", "policies:\n  # none yet\n"])("%j: nothing is allowed that is not written", (policies) => {
  expect(load(`${SERVERS}${policies}`).policies).toEqual([]);
});

test("a token of the file with the same secret takes the place of the installation's", () => {
  const state = load(
    `${SERVERS}control_plane: { auth: { tokens: [{ name: me, token: "\${TOLLGATE_TOKEN}", team: mine }] } }`,
  );
  expect(state.controlPlane.tokens.map(({ name, team }) => `${name} ${team}`)).toEqual([
    "me mine",
    "default-admin default",
  ]);
  expect(state.policies[0]?.principals).toEqual(["token:me", "token:default-admin"]);
});

test("tokens of the file gain nothing by it", () => {
  const state = load(`${SERVERS}control_plane: { auth: { tokens: [{ name: dev, token: dev-secret-0123456789 }] } }`);
  expect(state.policies[0]?.principals).toEqual(["token:default-user", "token:default-admin"]);
});

test("its name with another secret is a mistake with its place, without the secret", () => {
  const text = "control_plane: { auth: { tokens: [{ name: default-admin, token: other-0123456789 }] } }";
  expect(() => load(text)).toThrow(AppError);
  expect(() => load(text)).toThrow(
    /tollgate\.yaml:1:43: control_plane\.auth\.tokens\[0\]\.name is the name of this installation's own token.*\$\{TOLLGATE_ADMIN_TOKEN\}/,
  );
  expect(() => load(text)).not.toThrow(/tga_|other-/);
});

test("without the variables, and for readers of other sections, nothing is added", () => {
  expect(load(SERVERS, { env: {} })).toMatchObject({ controlPlane: { tokens: [] }, policies: [] });
  const registry = load(SERVERS, { sections: ["groups", "mcp_servers"] });
  expect(registry).toMatchObject({ controlPlane: { tokens: [] }, policies: [] });
});
