import { loadDesiredState, type OverlayEntry } from "@tollgate/desired-state";
import { expect, test } from "vitest";
import { loadFitting } from "./fitting.ts";

const FILE = `groups: [{ id: demo }, { id: office }]
mcp_servers:
  - { id: files, group: demo, type: command, command: files }
  - { id: notes, group: office, type: command, command: notes }
tool_sets: [{ id: shop, tools: ["notes:*"] }]
`;
const server = (id: string, rest: object = {}): OverlayEntry => ({
  kind: "server",
  id,
  value: { id, group: "demo", type: "command", command: id, ...rest },
});
const gone = (kind: OverlayEntry["kind"], id: string): OverlayEntry => ({ kind, id, value: undefined });

async function fitted(overlay: readonly OverlayEntry[], mayMiss: (id: string) => boolean = () => true) {
  let loads = 0;
  const load = async (over: readonly OverlayEntry[]) => {
    loads++;
    return loadDesiredState(FILE, { file: "/etc/tollgate.yaml", env: {}, overlay: over });
  };
  const { state, aside } = await loadFitting(load, overlay, ({ id }) => mayMiss(id));
  return { servers: state.servers.map(({ id }) => id), aside: Object.fromEntries(aside), loads };
}

test("what fits costs one load", async () => {
  expect(await fitted([server("new")])).toEqual({ servers: ["files", "notes", "new"], aside: {}, loads: 1 });
});

test("what is wrong itself is left out, and so is what leaned on it", async () => {
  const lab: OverlayEntry = { kind: "group", id: "lab", value: { id: "lab", nam: "Lab" } };
  expect(await fitted([lab, server("bench", { group: "lab" }), server("new")])).toMatchObject({
    servers: ["files", "notes", "new"],
    aside: {
      "group lab": expect.stringContaining("nam is not a known key"),
      "server bench": expect.stringContaining("group is not the id of a group"),
    },
  });
});

test("among many, that is found which takes away what the file needs", async () => {
  const many = Array.from({ length: 40 }, (_, at) => server(`server-${at}`));
  const { servers, aside, loads } = await fitted([...many.slice(0, 20), gone("server", "notes"), ...many.slice(20)]);
  expect(Object.keys(aside)).toEqual(["server notes"]);
  expect(aside["server notes"]).toMatch(/tool_sets\[0\].tools\[0\] names the server notes/);
  expect(servers).toHaveLength(42);
  expect(loads).toBeLessThan(10);
});

test("what may not be left out is a mistake, told without those of others", async () => {
  const overlay = [server("a", { group: "gone" }), server("b", { group: "lost" })];
  await expect(fitted(overlay, (id) => id === "a")).rejects.toMatchObject({
    code: "invalid_argument",
    details: { mistakes: ['server "b": group is not the id of a group; there are demo, office'] },
  });
});

test("what may not be left out stands against what may", async () => {
  const operations = [{ name: "list", method: "GET", path: "/list" }];
  const connectors = [{ id: "same", base_url: "https://api.example", operations }];
  const overlay = ["old", "new"].map((id): OverlayEntry => ({ kind: "group", id, value: { id, connectors } }));
  const { aside } = await fitted(overlay, (id) => id === "old");
  expect(aside).toEqual({ "group old": expect.stringContaining("is the id of another server already") });
});
