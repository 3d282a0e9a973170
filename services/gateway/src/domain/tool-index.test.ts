import { beforeEach, expect, test } from "vitest";
import { registryServer, registryTool, snapshotOf } from "../../test/sample-catalogue.ts";
import { type Catalogue, toCatalogue } from "./catalogue.ts";
import { createToolIndex, type ToolIndex } from "./tool-index.ts";

const tool = (name: string, description: string, properties: object = {}) =>
  registryTool(name, {
    definition: JSON.stringify({ name, title: `About ${name}`, description, inputSchema: { properties } }),
  });
const servers = [
  registryServer({
    id: "tickets",
    tools: [
      tool("create_ticket", "Opens a new issue", { projectKey: {}, summary: {} }),
      tool("closeTicket", "Ends an issue", { key: {} }),
    ],
  }),
  registryServer({ id: "files", tools: [tool("read_file", "Reads one file of a project", { path: {} })] }),
];
const catalogue = toCatalogue(snapshotOf(servers));
let index: ToolIndex;

function take(next: Catalogue): string[] {
  const outdated = index.outdated(next);
  for (const server of outdated) index.put(server);
  return outdated.map(({ info }) => info.id);
}
const find = (text: string) => index.find(text).map(({ item }) => `${item.server}:${item.name}`);

beforeEach(() => {
  index = createToolIndex();
  take(catalogue);
});

test.each([
  ["ticket", ["tickets:create_ticket", "tickets:closeTicket"]],
  ["CLOSE", ["tickets:closeTicket"]],
  ["close ticket", ["tickets:closeTicket"]],
  ["creat", ["tickets:create_ticket"]],
  ["tikcet create", ["tickets:create_ticket"]],
  ["projectkey", ["tickets:create_ticket"]],
  ["projectKey", ["tickets:create_ticket"]],
  ["files", ["files:read_file"]],
  ["read xyzzy", ["files:read_file"]],
  ["xyzzy", []],
  ["__proto__", []],
])("%j finds %j", (text, expected) => expect(new Set(find(text))).toEqual(new Set(expected)));

test("few words count, and short ones only as they are, so that no search takes long", () => {
  expect(find("h i j k l m n create ticket")).toEqual(["tickets:create_ticket"]);
  expect(find("h i j k l m n o ticket")).toEqual([]);
  const [once, often] = ["ticket", `ticket Ticket TICKET ${"ticket ".repeat(20)}`].map((text) => index.find(text));
  expect(often).toEqual(once);
  expect(find("ti")).toEqual([]);
  expect(find("tic")).toHaveLength(2);
});

test("without words it is all of them, in the catalogue's order, and no score", () => {
  for (const text of ["", "  ", "_-_"]) {
    expect(find(text)).toEqual(["tickets:create_ticket", "tickets:closeTicket", "files:read_file"]);
    expect(index.find(text).map(({ score }) => score)).toEqual([0, 0, 0]);
  }
});

test("a name counts for more than a description", () => {
  const many = toCatalogue(
    snapshotOf([registryServer({ id: "a", tools: [tool("other", "about a file"), tool("file", "about something")] })]),
  );
  take(many);
  expect(find("file")).toEqual(["a:file", "a:other"]);
});

test("only servers that have changed are put in again; what is gone is not found any more", () => {
  const changed = { ...servers[1]!, tools: [tool("write_file", "Writes one file")] };
  const message = { ...snapshotOf([changed], [], 2n), delta: true, serverIds: ["files", "tickets"] };
  const next = toCatalogue(message, catalogue);
  expect(take(next)).toEqual(["files"]);
  expect(take(next)).toEqual([]);
  expect(find("read")).toEqual([]);
  expect(find("")).toEqual(["files:write_file", "tickets:create_ticket", "tickets:closeTicket"]);
  expect(take(toCatalogue({ ...snapshotOf([]), delta: true, serverIds: ["files"] }, next))).toEqual([]);
  expect(find("ticket")).toEqual([]);
  expect(find("file")).toEqual(["files:write_file"]);
});

test("what a definition says is taken as it may be", () => {
  const odd = ["null", "[]", '"text"', '{"title":5,"description":null,"inputSchema":{"properties":[]}}'];
  const tools = odd.map((definition, n) => registryTool(`odd${n}`, { definition }));
  take(toCatalogue(snapshotOf([registryServer({ id: "odd", tools })])));
  expect(index.find("odd")).toHaveLength(4);
  expect(index.find("odd0")[0]).toMatchObject({ title: "", description: "" });
});
