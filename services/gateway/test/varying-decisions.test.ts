import { eventually, modernClient } from "@tollgate/testkit";
import { beforeEach, expect, test } from "vitest";
import { useInstallation } from "./installation.ts";
import { registryItem, registryServer, registryTool } from "./sample-catalogue.ts";

const installation = useInstallation();
const client = () => modernClient({ url: installation.url(), token: "token" });

async function toolNames(): Promise<string[]> {
  const { last } = await client().request("tools/list");
  return last.result.tools.map(({ name }: { name: string }) => name);
}

beforeEach(async () => {
  const prompts = [registryItem("greet", { name: "greet" })];
  installation.around.setServers([
    registryServer({
      id: "one",
      tools: [registryTool("varies")],
      prompts,
      capabilities: '{"prompts":{},"completions":{}}',
    }),
  ]);
  await eventually(async () => expect(await toolNames()).toEqual(["one__varies"]));
});

test("a list holds no longer than the decisions that it shows", async () => {
  const { policy } = installation.around;
  policy.more = { validUntilMs: 1n };
  policy.change();
  await eventually(async () => expect(await toolNames()).toEqual(["one__varies"]));
  policy.allow = () => false;
  expect(await toolNames()).toEqual([]);
  policy.allow = () => true;
  expect(await toolNames()).toEqual(["one__varies"]);
});

test("a completion is decided without arguments: they are those of the prompt, which come later", async () => {
  const { policy } = installation.around;
  policy.more = { variesByArguments: true };
  await policy.changeTaken();
  policy.decided.length = 0;
  const argument = { name: "who", value: "a" };
  const completion = client().request("completion/complete", {
    ref: { type: "ref/prompt", name: "one__greet" },
    argument,
  });
  await eventually(() => expect(installation.runner.calls).toHaveLength(1));
  expect(policy.decided.map((request) => request.arguments)).toEqual([undefined]);
  await completion.catch(() => undefined);
});
