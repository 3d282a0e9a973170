import { parseArgs } from "node:util";
import { CLIENT_NAMES, type ClientName } from "./client-files.ts";

interface Flags {
  readonly url: string | undefined;
  readonly token: string | undefined;
  readonly config: string | undefined;
  readonly toolSet: string | undefined;
}

export type Command =
  | { readonly kind: "run" | "doctor"; readonly flags: Flags }
  | {
      readonly kind: "install";
      readonly flags: Flags;
      readonly client: ClientName;
      readonly name: string;
      readonly print: boolean;
    }
  | { readonly kind: "help" | "version" }
  | { readonly kind: "wrong"; readonly problem: string };

export const USAGE = `tollgate-bridge - connects an AI client on stdio with a Tollgate gateway

  tollgate-bridge [--url URL] [--token TOKEN] [--tool-set SET] [--config FILE]
      Relays MCP between standard input/output and the gateway. This is what an AI client starts.
  tollgate-bridge install --client ${CLIENT_NAMES.join("|")} [--name NAME] [--print]
      Writes the client's configuration; --print only shows it.
  tollgate-bridge doctor
      Checks the set-up step by step and says what to do.

  --url URL       the gateway's MCP endpoint: http://127.0.0.1:8080/mcp, or ws://127.0.0.1:8080/mcp/ws by WebSocket
  --token TOKEN   the access token; the environment hides it better from process lists
  --config FILE   another file than ~/.mcp-bridge/config.yaml
  --tool-set SET  a tool set's name, auto (what goes with the repository that the client works in), or off
  --help, --version

Flags come before the environment (TOLLGATE_URL, TOLLGATE_TOKEN, TOLLGATE_TOOL_SET), and that before the file.
`;

export function parseCommandLine(args: readonly string[]): Command {
  let parsed;
  try {
    parsed = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        url: { type: "string" },
        token: { type: "string" },
        config: { type: "string" },
        "tool-set": { type: "string" },
        client: { type: "string" },
        name: { type: "string" },
        print: { type: "boolean" },
        help: { type: "boolean", short: "h" },
        version: { type: "boolean" },
      },
    });
  } catch (error) {
    return { kind: "wrong", problem: error instanceof Error ? error.message : String(error) };
  }
  const { values, positionals } = parsed;
  if (values.help) return { kind: "help" };
  if (values.version) return { kind: "version" };
  const [kind = "run", ...extra] = positionals;
  if (extra.length > 0) return { kind: "wrong", problem: `unexpected argument ${extra[0]}` };
  const flags: Flags = { url: values.url, token: values.token, config: values.config, toolSet: values["tool-set"] };
  if (kind === "install") {
    const client = CLIENT_NAMES.find((name) => name === values.client);
    if (!client)
      return {
        kind: "wrong",
        problem: `install needs --client, one of ${CLIENT_NAMES.join(", ")}`,
      };
    return { kind, flags, client, name: values.name ?? "tollgate", print: values.print ?? false };
  }
  const stray = (["client", "name", "print"] as const).find((name) => values[name] !== undefined);
  if (stray) return { kind: "wrong", problem: `--${stray} belongs to install` };
  if (kind === "run" || kind === "doctor") return { kind, flags };
  return { kind: "wrong", problem: `unknown command ${kind}` };
}
