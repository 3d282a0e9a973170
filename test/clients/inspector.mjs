// The official inspector's command line: one process per step, as its user runs it, and what that process prints. Nobody is
// there to answer what a server asks, and it shows results, not what came before them.
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { drive } from "./steps.mjs";

const PROGRAM = join(import.meta.dirname, "node_modules", ".bin", "mcp-inspector");
const TIMEOUT_MS = 25_000;
const TOOL_ERROR_CODE = 5;

await drive(async (task) => {
  const run = async (method, ...options) => {
    const words = ["--cli", ...target(task), "--protocol-era", task.era, "--format", "json", "--quiet"];
    const all = [PROGRAM, ...words, "--method", method, ...options];
    const { stdout } = await promisify(execFile)(process.execPath, all, { timeout: TIMEOUT_MS }).catch(toolError);
    return JSON.parse(stdout).result;
  };
  return {
    tools: async () => (await run("tools/list")).tools,
    prompts: async () => (await run("prompts/list")).prompts,
    resources: async () => (await run("resources/list")).resources,
    templates: async () => (await run("resources/templates/list")).resourceTemplates,
    call: (name, args) => run("tools/call", "--tool-name", name, "--tool-args-json", JSON.stringify(args)),
    prompt: (name, args) => run("prompts/get", "--prompt-name", name, "--prompt-args", ...pairs(args)),
    read: (uri) => run("resources/read", "--uri", uri),
    close: async () => undefined,
  };
});

/** A tool's error has an exit code of its own; its result is printed all the same. */
function toolError(error) {
  if (error.code !== TOOL_ERROR_CODE) throw error;
  return error;
}

function target({ transport, url, token, command, args, env }) {
  if (transport !== "stdio")
    return ["--server-url", url, "--transport", transport, "--header", `Authorization: Bearer ${token}`];
  const environment = pairs(env).flatMap((pair) => ["-e", pair]);
  return [command, ...args, "--transport", "stdio", ...environment];
}

function pairs(values) {
  return Object.entries(values).map(([name, value]) => `${name}=${value}`);
}
