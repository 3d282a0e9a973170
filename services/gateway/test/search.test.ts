import { type registryV1, toolsV1 } from "@tollgate/contracts";
import { eventually } from "@tollgate/testkit";
import { beforeAll, describe, expect, test } from "vitest";
import { principal } from "./controlled-policy.ts";
import { useInstallation } from "./installation.ts";
import { registryServer, registryTool } from "./sample-catalogue.ts";

const installation = useInstallation();
const SERVERS = 50;
const TOOLS = 40;
const VERBS = ["read", "list", "create", "delete", "update", "close", "assign", "merge"];
const THINGS = ["record", "ticket", "branch", "page", "message", "invoice", "pipeline"];

function toolsOf(server: number): registryV1.Tool[] {
  return Array.from({ length: TOOLS }, (_each, n) => {
    const [verb, thing] = [VERBS[(server + n) % VERBS.length]!, THINGS[n % THINGS.length]!];
    const name = `${verb}_${thing}_${n}`;
    const definition = JSON.stringify({ name, description: `To ${verb} one ${thing}`, inputSchema: {} });
    return registryTool(name, { definition, version: 1, certification: server % 2 ? "approved" : "draft" });
  });
}

async function search(query: string, token = "admin"): Promise<{ status: number; answer: any }> {
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch(installation.url(`/api/v1/tools${query}`), { headers });
  return { status: response.status, answer: await response.json() };
}

beforeAll(async () => {
  const { around } = installation;
  around.policy.tokens.set("admin", principal({ id: "admin", permissions: ["admin"] }));
  const servers = Array.from({ length: SERVERS }, (_each, n) =>
    registryServer({ id: `s${n}`, group: n < 10 ? "demo" : "plain", tools: toolsOf(n) }),
  );
  const finding = { kind: "hidden_instructions", where: "description", why: "it tells to ignore", risk: "HIGH" };
  const special = registryTool("launch_rocket", {
    definition: '{"name":"launch_rocket","title":"Lift off","description":"Starts engines","inputSchema":{}}',
    version: 3,
    certification: "submitted",
    hold: "held",
    findings: [toolsV1.Finding.fromPartial(finding)],
  });
  const withheldTools = [registryTool("land_rocket", { hold: "withheld" })];
  around.setServers([...servers, registryServer({ id: "space", risk: "CRITICAL", tools: [special], withheldTools })]);
  await eventually(async () => expect((await search("?q=rocket")).answer.items).toHaveLength(2));
});

describe("searching 2,000 tools", () => {
  test("shows what is known of each, and its definition where it is asked for", async () => {
    const { answer } = await search("?q=launch&definition=true");
    expect(answer).toEqual({
      items: [
        {
          server: "space",
          group: "demo",
          name: "launch_rocket",
          prefixedName: "space__launch_rocket",
          title: "Lift off",
          description: "Starts engines",
          version: 3,
          certification: "submitted",
          risk: "CRITICAL",
          riskReasons: ["it tells to ignore"],
          hold: "held",
          score: expect.any(Number),
          definition: { name: "launch_rocket", title: "Lift off", description: "Starts engines", inputSchema: {} },
        },
      ],
      nextCursor: null,
    });
    expect((await search("?q=launch")).answer.items[0]).not.toHaveProperty("definition");
  });

  test("has the best first, and pages of them that end", async () => {
    const found: string[] = [];
    const scores: number[] = [];
    for (let cursor: string | null = ""; cursor !== null;) {
      const { answer }: { answer: any } = await search(`?q=create+ticket&limit=7&cursor=${cursor}`);
      found.push(...answer.items.map((each: any) => each.prefixedName));
      scores.push(...answer.items.map((each: any) => each.score));
      cursor = answer.nextCursor;
    }
    expect(found.length).toBeGreaterThan(20);
    expect(new Set(found).size).toBe(found.length);
    expect(found.filter((name) => !/__create_ticket_\d+$/.test(name))).toEqual([]);
    expect(scores).toEqual(scores.toSorted((a, b) => b - a));
  });

  test("takes filters and another order", async () => {
    const names = async (query: string) => (await search(query)).answer.items.map((each: any) => each.prefixedName);
    expect(await names("?server=s3&limit=1000")).toHaveLength(TOOLS);
    expect(await names("?q=merge&group=demo&certification=approved&limit=1000")).toSatisfy((found: string[]) =>
      found.every((name) => /^s[13579]__merge_/.test(name)),
    );
    expect(await names("?risk=CRITICAL")).toEqual(["space__land_rocket", "space__launch_rocket"]);
    expect(await names("?hold=withheld")).toEqual(["space__land_rocket"]);
    expect(await names("?hold=held")).toEqual(["space__launch_rocket"]);
    expect((await names("?server=s3&sort=-name&limit=2"))[0]).toMatch(/^s3__update_ticket_/);
    for (const wrong of ["?risk=HUGE", "?sort=nothing", "?limit=0", "?cursor=x", `?q=${"a".repeat(300)}`])
      expect((await search(wrong)).status).toBe(400);
  });

  test("is for those who may read the catalogue; others find what they may call", async () => {
    const { policy } = installation.around;
    policy.allow = (_request, { server }) => server === "s7";
    await policy.changeTaken();
    const { answer } = await search("?q=merge&limit=1000", "token");
    expect(new Set(answer.items.map(({ server }: any) => server))).toEqual(new Set(["s7"]));
    expect((await search("?q=rocket", "token")).answer.items).toEqual([]);
    expect((await search("?limit=1000", "token")).answer.items).toHaveLength(TOOLS);
    expect((await search("?q=rocket")).answer.items).toHaveLength(2);
    policy.allow = () => true;
    await policy.changeTaken();
    expect((await search("?q=rocket", "token")).answer.items).toHaveLength(1);
    expect((await search("?q=rocket", "nobody")).status).toBe(401);
  });
});
