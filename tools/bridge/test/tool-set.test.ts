import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ConfigError, loadConfig } from "../src/config.ts";
import { chooseTools } from "../src/tool-set.ts";
import { modern, TOKEN, useBridge } from "./bridge.ts";
import { json, resultFor } from "./endpoint.ts";

const bench = useBridge();
let shop = "";

beforeAll(async () => {
  shop = await mkdtemp(join(tmpdir(), "bridge-shop-"));
  await mkdir(join(shop, ".git"));
  await mkdir(join(shop, "src"));
  await writeFile(join(shop, ".git", "config"), '[remote "origin"]\n\turl = git@github.com:acme/shop.git\n');
});
afterAll(() => rm(shop, { recursive: true }));

async function choose(
  options: { url?: string; flag?: string; env?: string; file?: string; workspace?: string | undefined } = {},
): Promise<{ path: string; why: string }> {
  const { url = "http://gate.example/mcp", flag, env, file } = options;
  const config = join(bench.home, "tool-set.yaml");
  await writeFile(config, file === undefined ? "" : `bridge:\n  ${file}\n`);
  const loaded = await loadConfig({
    flags: { url, token: TOKEN, config, toolSet: flag },
    env: env === undefined ? {} : { TOLLGATE_TOOL_SET: env },
    home: bench.home,
    workspace: "workspace" in options ? options.workspace : join(shop, "src"),
  });
  const { url: chosen, why } = await chooseTools(loaded);
  return { path: chosen.pathname, why };
}

const REPOSITORY = "/mcp/sets/~github.com%2Facme%2Fshop";

describe("the tool set", () => {
  test("goes with the repository, over either transport", async () => {
    expect(await choose()).toEqual({
      path: REPOSITORY,
      why: "the tool set that the gateway has for github.com/acme/shop, else all tools",
    });
    expect((await choose({ url: "wss://gate.example/mcp/ws" })).path).toBe(`${REPOSITORY}/ws`);
  });

  test("is what flag, environment or file say, in this order", async () => {
    expect((await choose({ file: "tool_set: filed" })).path).toBe("/mcp/sets/filed");
    expect((await choose({ env: "given", file: "tool_set: filed" })).path).toBe("/mcp/sets/given");
    expect((await choose({ flag: "off", env: "given", file: "tool_set: filed" })).path).toBe("/mcp");
    expect((await choose({ flag: "auto", env: "given" })).path).toBe(REPOSITORY);
    expect((await choose({ flag: "named", url: "ws://gate.example/mcp/ws" })).path).toBe("/mcp/sets/named/ws");
  });

  test("is none at a route of its own, outside of repositories, and where the folder is nobody's business", async () => {
    for (const options of [
      { url: "http://gate.example/mcp/files" },
      { url: "http://gate.example/gate/mcp" },
      { file: "workspace: off" },
      { workspace: undefined },
      { workspace: bench.home },
    ]) {
      const { path, why } = await choose(options);
      expect([path, why]).toEqual([new URL(options.url ?? "http://gate.example/mcp").pathname, expect.any(String)]);
      expect(why).toMatch(/^all tools: /);
    }
  });

  test("that is named wrongly, or for a URL that has none, is an error", async () => {
    await expect(choose({ flag: "../x" })).rejects.toThrow(ConfigError);
    await expect(choose({ flag: "named", url: "http://gate.example/mcp/files" })).rejects.toThrow("/mcp/files");
  });

  test("is what the project's file names, in the start folder before the repository's root", async () => {
    await writeFile(join(shop, ".tollgate.yaml"), "tool_set: of-root\n");
    expect(await choose()).toEqual({
      path: "/mcp/sets/of-root",
      why: `the tool set of-root, as ${join(shop, ".tollgate.yaml")} says`,
    });
    await writeFile(join(shop, "src", ".tollgate.yaml"), "# ours\ntool_set: of-folder\n");
    expect((await choose()).path).toBe("/mcp/sets/of-folder");
    expect((await choose({ env: "off" })).path).toBe("/mcp");
    for (const text of ["tool_set: [", "tool_set: A B", "toolset: x", "tool_set: x\nmore: 1", "text", ""]) {
      await writeFile(join(shop, "src", ".tollgate.yaml"), text);
      await expect(choose()).rejects.toThrow(join(shop, "src", ".tollgate.yaml"));
    }
    await rm(join(shop, "src", ".tollgate.yaml"));
    await rm(join(shop, ".tollgate.yaml"));
  });
});

test("requests go to its route; nothing is asked beforehand", async () => {
  const endpoint = await bench.endpoint((received, response) => json(response, resultFor(received, '{"tools":[]}')));
  const env = { TOLLGATE_TOOL_SET: "auto" };
  const bridge = bench.start(endpoint, { cwd: join(shop, "src"), env });
  bridge.send(modern(1, "tools/list"));
  expect(await bridge.answer(1)).toMatchObject({ result: { tools: [] } });
  expect(endpoint.received.map(({ path }) => path)).toEqual([REPOSITORY]);
  const doctor = bench.start(undefined, { cwd: shop, env, args: ["doctor", "--url", endpoint.url, "--token", TOKEN] });
  await doctor.exited;
  expect(doctor.lines).toContain("ok    the tool set that the gateway has for github.com/acme/shop, else all tools");
});
