import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { Call } from "@tollgate/testkit";

const SERVER_PACKAGE = "@modelcontextprotocol/server-everything";

/** The server that the gateway runs, called directly over its standard input and output. */
export async function openStdioBaseline(): Promise<{ call: Call; pid: number; close: () => void }> {
  const require = createRequire(import.meta.url);
  const manifest = require.resolve(`${SERVER_PACKAGE}/package.json`);
  const child = spawn(process.execPath, [join(dirname(manifest), "dist/index.js"), "stdio"], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  const waiting = new Map<number, (line: string) => void>();
  let rest = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      const { id } = JSON.parse(line) as { id?: number };
      if (id !== undefined) waiting.get(id)?.(line);
    }
  });

  let nextId = 1;
  async function request(method: string, params: object): Promise<string> {
    const id = nextId++;
    const answer = new Promise<string>((resolve) => waiting.set(id, resolve));
    child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", id, method, params })}\n`);
    const line = await answer;
    waiting.delete(id);
    return line;
  }

  await request("initialize", {
    protocolVersion: "2025-11-25",
    capabilities: {},
    clientInfo: { name: "bench", version: "1" },
  });
  child.stdin.write('{"jsonrpc":"2.0","method":"notifications/initialized"}\n');
  return {
    pid: child.pid!,
    call: async (n) => {
      const line = await request("tools/call", { name: "echo", arguments: { message: `m${n}` } });
      if (!line.includes(`Echo: m${n}"`)) throw new Error(`wrong reply: ${line}`);
    },
    close: () => void child.kill(),
  };
}
