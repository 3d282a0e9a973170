import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Frame, rawId } from "./frame.ts";
import type { Log } from "./log.ts";
import { type RawMember, rawMember, rawMembers } from "./raw-json.ts";
import { isObject } from "./rpc-error.ts";

export interface ToolsCacheOptions {
  readonly directory: string;
  readonly bytesMax: number;
  readonly ttlMs: number;
  /** Lists of different gateways or tokens are never mixed up: what one may see is not what another may. */
  readonly url: string;
  readonly token: string;
  readonly log: Log;
}

/** The last lists of tools, kept on disk for when the gateway cannot be reached. */
export interface ToolsCache {
  store(request: Frame, answer: string): void;
  /** The kept answer, with this request's id and `_meta["tollgate/cached"]: true`. */
  find(request: Frame): Promise<string | undefined>;
}

export function openToolsCache(options: ToolsCacheOptions): ToolsCache {
  const { directory, log } = options;
  const fileOf = (request: Frame): string => {
    const { params } = JSON.parse(request.bytes.toString("utf8")) as { params?: unknown };
    const cursor = isObject(params) ? params["cursor"] : undefined;
    const key = JSON.stringify([options.url, options.token, request.protocolVersion ?? "", cursor ?? ""]);
    return join(directory, `tools-${createHash("sha256").update(key).digest("hex")}.json`);
  };
  const save = async (file: string, text: string): Promise<void> => {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const draft = `${file}.${process.pid}.tmp`;
    await writeFile(draft, text, { mode: 0o600 });
    await rename(draft, file);
    await prune(directory, options);
  };
  return {
    store(request, answer) {
      const result = rawMember(answer, "result");
      if (result === undefined || Buffer.byteLength(result) > options.bytesMax) return;
      save(fileOf(request), result).catch((error: unknown) =>
        log.warn(`cannot keep the list of tools: ${String(error)}`),
      );
    },
    async find(request) {
      try {
        const file = fileOf(request);
        if (Date.now() - (await stat(file)).mtimeMs > options.ttlMs) return undefined;
        return marked(await readFile(file, "utf8"), rawId(request));
      } catch {
        return undefined; // Not there, or not readable: then there is no kept list.
      }
    },
  };
}

/** Puts the mark into the result without touching the rest of its text. */
function marked(result: string, id: string): string {
  const members = rawMembers(result);
  const meta = spell(rawMembers(members.findLast((member) => member.key === "_meta")?.value ?? "{}"));
  const rest = spell(members.filter((member) => member.key !== "_meta"));
  return `{"jsonrpc":"2.0","id":${id},"result":{${[...rest, `"_meta":{${[...meta, '"tollgate/cached":true'].join(",")}}`].join(",")}}}`;
}

function spell(members: readonly RawMember[]): string[] {
  return members.map((member) => `${JSON.stringify(member.key)}:${member.value}`);
}

/** Removes what is too old, then the oldest beyond the bound. */
async function prune(directory: string, limits: { bytesMax: number; ttlMs: number }): Promise<void> {
  const names = (await readdir(directory)).filter((name) => name.startsWith("tools-"));
  const files = await Promise.all(
    names.map(async (name) => ({
      path: join(directory, name),
      info: await stat(join(directory, name)),
    })),
  );
  let kept = 0;
  for (const file of files.toSorted((a, b) => b.info.mtimeMs - a.info.mtimeMs)) {
    kept += file.info.size;
    if (kept > limits.bytesMax || Date.now() - file.info.mtimeMs > limits.ttlMs) await rm(file.path, { force: true });
  }
}
