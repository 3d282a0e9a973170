import { describe, expect, test } from "vitest";
import { entriesIn, type OverlayEntry } from "./entries.ts";
import { loadDesiredState } from "./load.ts";

const FILE = `groups:
  - { id: demo }
  - { id: office }
mcp_servers:
  - { id: files, group: demo, type: command, command: ./files }
  - { id: notes, group: office, type: command, command: notes, env: { KEY: "\${KEY}" } }
tenants: [{ id: acme }]
`;
const ENV = { KEY: "k-1", TOLLGATE_SERVICE_KEY: "of-the-installation", TOLLGATE_FILES_DIR: "/srv/files" };
const server = (id: string, rest: object = {}): OverlayEntry => ({
  kind: "server",
  id,
  value: { id, group: "demo", type: "command", command: "other", ...rest },
});
const load = (overlay: readonly OverlayEntry[], text = FILE) =>
  loadDesiredState(text, { file: "/etc/tollgate.yaml", env: ENV, overlay });

function mistakesOf(overlay: readonly OverlayEntry[], text = FILE): string[] {
  try {
    load(overlay, text);
  } catch (error) {
    return (error as { details: { mistakes: string[] } }).details.mistakes;
  }
  throw new Error("no mistake was found");
}

describe("an overlay", () => {
  test("stands for the file's entries in their places; what joins them comes last, what is taken away is gone", () => {
    const state = load([
      server("new", { env: { KEY: "${KEY}", DIR: "${TOLLGATE_FILES_DIR}" } }),
      server("files"),
      { kind: "tenant", id: "acme", value: undefined },
      { kind: "group", id: "lab", value: { id: "lab", name: "Lab" } },
    ]);
    expect(state.servers.map(({ id, command }) => [id, command])).toEqual([
      ["files", "other"],
      ["notes", "notes"],
      ["new", "other"],
    ]);
    expect(state.servers[2]!.env).toEqual({ KEY: "k-1", DIR: "/srv/files" });
    expect(state.groups.map(({ id }) => id)).toEqual(["demo", "office", "lab"]);
    expect(state.tenants.map(({ id }) => id)).toEqual([""]);
    expect(entriesIn(state.sections).map(({ kind, id }) => `${kind} ${id}`)).toContain("server new");
  });

  test("of nothing changes nothing", () => {
    expect(load([])).toEqual(loadDesiredState(FILE, { file: "/etc/tollgate.yaml", env: ENV }));
  });

  test("makes sections that the file has not", () => {
    const text = "groups: [{ id: demo }]";
    expect(load([server("files")], text).servers.map(({ id }) => id)).toEqual(["files"]);
    expect(load([server("files")], `${text}\nmcp_servers:`).servers).toHaveLength(1);
  });
});

test("a file that holds itself is refused", () => {
  expect(() => load([], "groups: &all [*all]")).toThrow(/cannot be read: .*circular/);
});

describe("mistakes", () => {
  test("of an entry of the overlay name it, those of the file their place in the file", () => {
    const text = FILE.replace("command: notes,", "comand: notes,");
    const taken: OverlayEntry = { kind: "server", id: "files", value: undefined };
    expect(mistakesOf([taken, server("new", { command: undefined, enabled: "perhaps" })], text)).toEqual([
      expect.stringMatching(/^\/etc\/tollgate.yaml:6:5: mcp_servers\[1\].command is missing/),
      'server "new": command is missing',
      expect.stringMatching(/^\/etc\/tollgate.yaml:6:48: mcp_servers\[1\].comand is not a known key/),
      expect.stringMatching(/^server "new": enabled has to be/),
    ]);
  });

  test.each<[string, OverlayEntry, string]>([
    ["misplaced key", server("new", { url: "https://x.example" }), 'server "new": url is for the type remote only'],
    ["group", server("new", { group: "gone" }), 'server "new": group is not the id of a group; there are demo, office'],
    ["unknown key", server("new", { comand: "x" }), 'server "new": comand is not a known key; is "command" meant?'],
    ["id of a route", server("ws"), 'server "ws": id must not be'],
    ["secrets of the installation", server("new", { env: { A: "x${TOLLGATE_SERVICE_KEY}" } }), "env.A names TOLLGATE"],
    ["those that are not there", server("new", { args: ["${TOLLGATE_GONE}"] }), "args[0] names TOLLGATE_GONE"],
    ["variable", server("new", { env: { A: "${GONE}" } }), 'server "new": env.A the environment has no GONE'],
    ["relative program", server("new", { command: "./x" }), 'server "new": command has to be absolute'],
    ["relative script", server("new", { type: "node", command: "x.js" }), 'server "new": command has to be absolute'],
    ["relative folder", server("new", { working_dir: "x" }), 'server "new": working_dir has to be absolute'],
    ["sandbox", server("new", { sandbox: { read: ["/a", "b"] } }), 'server "new": sandbox.read[1] has to be absolute'],
    ["group with servers", { kind: "group", id: "office", value: undefined }, "mcp_servers[1].group is not the id of"],
  ])("%s", (_what, entry, message) => {
    expect(mistakesOf([entry])).toEqual([expect.stringContaining(message)]);
  });

  test("relative scripts are allowed where their folder is given", () => {
    const entry = server("new", { type: "node", command: "x.js", working_dir: "/srv" });
    expect(load([entry]).servers.at(-1)).toMatchObject({ command: "x.js", workingDir: "/srv" });
  });
});
