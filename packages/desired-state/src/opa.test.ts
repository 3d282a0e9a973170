import { AppError } from "@tollgate/errors";
import { expect, test } from "vitest";
import { loadDesiredState } from "./load.ts";

const SECRET = "opa-secret-0123456789";
const load = (opa: string) =>
  loadDesiredState(`control_plane: { opa: ${opa} }`, { file: "/etc/tollgate.yaml", env: { OPA_TOKEN: SECRET } })
    .controlPlane.opa;

function messageOf(opa: string): string {
  try {
    load(opa);
    return "";
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "invalid_argument") throw error;
    return error.message;
  }
}

test("nothing is asked where the file says nothing", () => {
  const { controlPlane } = loadDesiredState("groups: []", { file: "/etc/tollgate.yaml", env: {} });
  expect(controlPlane.opa).toBeUndefined();
});

const DEFAULTS = {
  token: undefined,
  timeoutMs: 500,
  cacheMs: 0,
  sendsArguments: true,
  actions: ["tools/call", "resources/read", "prompts/get"],
};

test("the REST data API", () => {
  expect(load('{ url: "http://127.0.0.1:8181/" }')).toEqual({
    ...DEFAULTS,
    rest: { url: "http://127.0.0.1:8181", path: "tollgate/allow" },
    wasm: undefined,
  });
});

test("a compiled policy beside it, and everything said", () => {
  const said = `{ url: "https://opa.example/base", path: mcp/gate/allow, token: "\${OPA_TOKEN}", wasm_file: gate.wasm,
    entrypoint: gate/main, timeout: 1.25, cache: 5, arguments: false, actions: [tools/call] }`;
  expect(load(said)).toEqual({
    rest: { url: "https://opa.example/base", path: "mcp/gate/allow" },
    token: SECRET,
    wasm: { file: "gate.wasm", entrypoint: "gate/main" },
    timeoutMs: 1_250,
    cacheMs: 5_000,
    sendsArguments: false,
    actions: ["tools/call"],
  });
});

const REST = 'url: "https://opa.example"';

test.each([
  ["{}", "control_plane.opa has nobody to ask: it needs url, wasm_file, or both"],
  ["{ url: opa.example }", "control_plane.opa.url has to be an http or https URL"],
  ['{ url: "https://me:secret@opa.example" }', "control_plane.opa.url must not hold credentials"],
  [`{ ${REST}, path: "../secrets?x" }`, "control_plane.opa.path has to be the path of a rule"],
  [`{ ${REST}, entrypoint: a/b }`, "control_plane.opa.entrypoint goes with wasm_file only"],
  ["{ wasm_file: a.wasm, path: a/b }", "control_plane.opa.path goes with url only"],
  ["{ wasm_file: a.wasm, token: abc }", "control_plane.opa.token goes with url only"],
  ['{ url: "http://opa.example", token: "${OPA_TOKEN}" }', "control_plane.opa.token would travel unencrypted"],
  [`{ ${REST}, cache: 5 }`, "control_plane.opa.cache goes with arguments: false only"],
  [`{ ${REST}, timeout: 2 }`, "control_plane.opa.timeout "],
  [`{ ${REST}, actions: [tools/list] }`, "control_plane.opa.actions[0] "],
  [`{ ${REST}, actions: [] }`, "control_plane.opa.actions is empty"],
  [`{ ${REST}, wasm: a.wasm }`, "control_plane.opa.wasm is not a known key; known are url, path, token, wasm_file"],
])("%s is a mistake, told without its values", (opa, expected) => {
  const message = messageOf(opa);
  expect(message).toContain(expected);
  expect(message).not.toContain("secret@");
  expect(message).not.toContain(SECRET);
});
