import { eventually, fixtureServer, useInfrastructure, useSystem } from "@tollgate/testkit";
import { expect, test } from "vitest";

const infra = useInfrastructure();
const server = (id: string, group: string): string =>
  `  - { id: ${id}, group: ${group}, type: node, command: ${fixtureServer} }\n`;
const FILE = `groups: [{ id: demo }, { id: lab }]\nmcp_servers:\n${server("files", "demo")}`;
const system = useSystem(infra, { yaml: FILE });

async function ask(method: string, path: string, body?: object): Promise<{ status: number; body: any }> {
  const response = await fetch(`${system.gatewayUrl}/api/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${system.adminToken}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json() };
}

test("a server that does not fit the file after a restart is shown with the reason, and can be taken away", async () => {
  const notes = { id: "notes", group: "lab", type: "node", command: fixtureServer };
  expect(await ask("POST", "/servers", notes)).toMatchObject({ status: 201, body: { problem: "" } });
  await system.kill("registry");
  await system.configure(FILE.replace(", { id: lab }", ""));
  await system.start("registry");
  const reason = 'server "notes": group is not the id of a group; there are demo';
  const shown = { status: "unavailable", reason, problem: reason, drift: "added" };
  await eventually(async () => expect((await ask("GET", "/servers/notes")).body).toMatchObject(shown));
  expect((await ask("GET", "/servers?status=unavailable")).body.items).toMatchObject([{ id: "notes", ...shown }]);
  expect((await ask("GET", "/drift?kind=server")).body.items).toMatchObject([{ id: "notes", problem: reason }]);
  expect(await ask("DELETE", "/servers/notes")).toMatchObject({ status: 200 });
  expect(await ask("GET", "/servers/notes")).toMatchObject({ status: 404 });
});
