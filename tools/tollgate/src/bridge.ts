import { spawn } from "node:child_process";
import { execFile } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { AppError } from "@tollgate/errors";

const BUILD_TIMEOUT_MS = 30_000;
const CALL_TIMEOUT_MS = 20_000;
const STDERR_MAX_CHARS = 2_000;

export function bridgeBundle(root: string): string {
  return join(root, "tools/bridge/dist/tollgate-bridge.mjs");
}

/** Bundles the bridge unless the bundle is newer than all that it is made of. */
export async function buildBridge(root: string): Promise<void> {
  const bundle = bridgeBundle(root);
  const source = join(root, "tools/bridge/src");
  const parts = [join(root, "tools/bridge/build.mjs"), ...readdirSync(source).map((name) => join(source, name))];
  const newest = Math.max(...parts.map((file) => statSync(file).mtimeMs));
  if (existsSync(bundle) && statSync(bundle).mtimeMs > newest) return;
  await promisify(execFile)(process.execPath, ["build.mjs"], {
    cwd: join(root, "tools/bridge"),
    timeout: BUILD_TIMEOUT_MS,
  });
}

interface Answer {
  readonly id?: unknown;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

/** An MCP client on the bridge's standard input and output, as an AI client is one. */
export interface BridgeClient {
  /** @throws {AppError} `unavailable` with the error that came, or when nothing came */
  request(method: string, params: Readonly<Record<string, unknown>>): Promise<unknown>;
  notify(method: string): void;
  close(): Promise<void>;
}

/** `home` without a bridge configuration in it, so that the user's own is not read. */
export function openBridgeClient(options: {
  bundle: string;
  url: string;
  token: string;
  /** PEM file of certificates that are trusted beside the machine's own. */
  caFile: string | undefined;
  home: string;
  signal: AbortSignal;
}): BridgeClient {
  const child = spawn(process.execPath, [options.bundle], {
    env: {
      HOME: options.home,
      TOLLGATE_URL: options.url,
      TOLLGATE_TOKEN: options.token,
      ...(options.caFile === undefined ? {} : { NODE_EXTRA_CA_CERTS: options.caFile }),
    },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const waiting = new Map<number, (answer: Answer) => void>();
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr = (stderr + text).slice(-STDERR_MAX_CHARS)));
  child.stdin.on("error", () => undefined);
  createInterface({ input: child.stdout }).on("line", (line) => {
    const answer = JSON.parse(line) as Answer;
    if (typeof answer.id === "number") waiting.get(answer.id)?.(answer);
  });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  void ended.then(() => failAll(`the bridge ended: ${stderr.trim()}`));
  const onAbort = () => failAll("cancelled");
  options.signal.addEventListener("abort", onAbort);

  function failAll(message: string): void {
    for (const answer of waiting.values()) answer({ error: { message } });
  }

  let lastId = 0;
  const write = (frame: object) => child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", ...frame })}\n`);
  return {
    async request(method, params) {
      const id = ++lastId;
      const timer = setTimeout(() => failAll(`no answer within ${CALL_TIMEOUT_MS / 1_000} s`), CALL_TIMEOUT_MS);
      const answer = await new Promise<Answer>((resolve) => {
        waiting.set(id, resolve);
        write({ id, method, params });
      }).finally(() => clearTimeout(timer));
      waiting.delete(id);
      if (answer.error !== undefined) throw new AppError("unavailable", `${method}: ${answer.error.message}`);
      return answer.result;
    },
    notify: (method) => void write({ method }),
    async close() {
      options.signal.removeEventListener("abort", onAbort);
      child.stdin.end();
      const timer = setTimeout(() => child.kill("SIGKILL"), 2_000);
      await ended.finally(() => clearTimeout(timer));
    },
  };
}
