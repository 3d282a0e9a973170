import { join } from "node:path";
import type { Command } from "../src/launch/command.ts";

/** What odd-server.ts is to say; see there. */
export type Script = Readonly<Record<string, readonly string[]>>;

const result = (value: object) => JSON.stringify({ jsonrpc: "2.0", id: "@", result: value }).replace('"@"', "$id");

/** A legacy server that shakes hands and has no tools. */
export const LEGACY: Script = {
  "server/discover": ['{"jsonrpc":"2.0","id":$id,"error":{"code":-32601,"message":"Method not found"}}'],
  initialize: [
    result({ protocolVersion: "2025-06-18", capabilities: {}, serverInfo: { name: "odd", version: "2.0" } }),
  ],
  "tools/list": [result({ tools: [] })],
};

export function answer(value: object): string {
  return result(value);
}

export function oddCommand(script: Script, env: Record<string, string> = {}): Command {
  return nodeCommand(join(import.meta.dirname, "odd-server.ts"), { ODD_SCRIPT: JSON.stringify(script), ...env });
}

export function nodeCommand(script: string, env: Record<string, string> = {}): Command {
  return { command: process.execPath, args: [script], env, cwd: import.meta.dirname, files: [import.meta.dirname] };
}
