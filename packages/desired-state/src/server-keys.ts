import { type Mistake, offsetOfKey, type SourceDocument } from "./document.ts";
import { SERVER_TYPES, type ServerType } from "./state.ts";

const PROCESS_KEYS = ["command", "args", "env", "working_dir", "sandbox"];
const PYTHON_KEYS = ["requirements"];
const REMOTE_KEYS = ["url", "transport", "headers"];
/** Of `limits`: what only a process can be held to. */
const PROCESS_LIMITS = ["memory_mb", "cpu", "open_files", "processes"];
/** Of `sandbox`: what only a sandbox can keep to. */
const SANDBOX_KEYS = ["network", "read", "write"];

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
    const given = server as Record<string, unknown>;
    const path = ["mcp_servers", index];
    const needed = type === "remote" ? "url" : "command";
    const missing = given[needed] === undefined ? [{ path: [...path, needed], message: "is missing" }] : [];
    const misplaced = misplacedKeys(type, given).flatMap(({ within, keys, message }) => {
      const place = [...path, ...within];
      const holder = within.reduce<unknown>((at, step) => (at as Record<string, unknown> | null)?.[step], given);
      return keys
        .filter((key) => (holder as Record<string, unknown> | null | undefined)?.[key] !== undefined)
        .map((key) => ({ path: [...place, key], message, offset: offsetOfKey(source, place, key) ?? 0 }));
    });
    return [...missing, ...misplaced];
  });
}

/** Nothing would heed these in a server of the type. `within` says in which part of the entry they stand. */
function misplacedKeys(
  type: ServerType,
  { sandbox }: Record<string, unknown>,
): { within: string[]; keys: string[]; message: string }[] {
  if (type === "remote") {
    const message = `is not for the type remote, which starts no process; it has ${REMOTE_KEYS.join(", ")}`;
    const limit = "is not for the type remote, which starts no process; it has output_mb, call_timeout, concurrency";
    return [
      { within: [], keys: [...PROCESS_KEYS, ...PYTHON_KEYS], message },
      { within: ["limits"], keys: PROCESS_LIMITS, message: limit },
    ];
  }
  const own = [...PROCESS_KEYS, ...(type === "python" ? PYTHON_KEYS : [])];
  const remote = `is for the type remote only; ${type} starts a process and has ${own.join(", ")}`;
  const python = "is for the type python only; uv has a lock file, and the others need none";
  // A container has walls of its own, which keep to these all the same.
  const isOff = type !== "container" && (sandbox as { mode?: unknown } | null | undefined)?.mode === "off";
  return [
    { within: ["sandbox"], keys: isOff ? SANDBOX_KEYS : [], message: "needs a sandbox, and its mode is off" },
    { within: [], keys: REMOTE_KEYS, message: remote },
    { within: [], keys: type === "python" ? [] : PYTHON_KEYS, message: python },
  ];
}
