/**
 * A stdio server that says exactly what a test wants; environment:
 * - ODD_SCRIPT: JSON; for each method the lines that answer it, in which `$id` and `$token` stand for the request's id
 *   and progress token as they came. `start` is said at once. What is not in the script is never answered.
 * - ODD_LOG: a file that gets a line for each line read.
 */
import { appendFileSync } from "node:fs";
import { createInterface } from "node:readline";

interface Request {
  readonly id?: unknown;
  readonly method?: string;
  readonly params?: { readonly _meta?: { readonly progressToken?: unknown } };
}

const script = JSON.parse(process.env["ODD_SCRIPT"] ?? "{}") as Record<string, string[]>;

function say(method: string, request: Request = {}): void {
  const token = JSON.stringify(request.params?._meta?.progressToken);
  for (const line of script[method] ?? [])
    process.stdout.write(`${line.replaceAll("$id", JSON.stringify(request.id)).replaceAll("$token", token)}\n`);
}

say("start");
createInterface({ input: process.stdin }).on("line", (line) => {
  appendFileSync(process.env["ODD_LOG"] ?? "/dev/null", `${line}\n`);
  const request = JSON.parse(line) as Request;
  if (request.method !== undefined) say(request.method, request);
});
