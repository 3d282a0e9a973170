import { type Mistake, offsetOfKey, type SourceDocument } from "./document.ts";
import { SERVER_TYPES } from "./state.ts";

const PROCESS_KEYS = ["command", "args", "env", "working_dir", "requirements", "sandbox"];
const REMOTE_KEYS = ["url", "transport", "headers"];

/**
 * Keys of `mcp_servers` that do not go with the server's type, and the one that its type cannot do without. Works on
 * values that are not checked yet, so that these mistakes are told together with all others.
 */
export function findServerKeyMistakes(values: unknown, source: SourceDocument): Mistake[] {
  const servers = (values as Record<string, unknown>)["mcp_servers"];
  if (!Array.isArray(servers)) return [];
  return servers.flatMap((server: unknown, index) => {
    const type = SERVER_TYPES.find((each) => each === (server as { type?: unknown } | null)?.type);
    if (type === undefined) return [];
    const remote = type === "remote";
    const given = server as Record<string, unknown>;
    const path = ["mcp_servers", index];
    const needed = remote ? "url" : "command";
    const missing = given[needed] === undefined ? [{ path: [...path, needed], message: "is missing" }] : [];
    const message = remote
      ? `is not for the type remote, which starts no process; it has ${REMOTE_KEYS.join(", ")}`
      : `is for the type remote only; ${type} starts a process and has ${PROCESS_KEYS.join(", ")}`;
    const misplaced = (remote ? PROCESS_KEYS : REMOTE_KEYS)
      .filter((key) => given[key] !== undefined)
      .map((key) => ({ path: [...path, key], message, offset: offsetOfKey(source, path, key) ?? 0 }));
    const elsewhere = "is for the type python only; uv has a lock file, and the others need none";
    if (!remote && type !== "python" && given["requirements"] !== undefined)
      misplaced.push({
        path: [...path, "requirements"],
        message: elsewhere,
        offset: offsetOfKey(source, path, "requirements") ?? 0,
      });
    return [...missing, ...misplaced];
  });
}
