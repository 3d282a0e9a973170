import { posix, win32 } from "node:path";

export const CLIENT_NAMES = ["claude-desktop", "cursor", "vscode", "claude-code"] as const;
export type ClientName = (typeof CLIENT_NAMES)[number];

export interface Place {
  readonly platform: NodeJS.Platform;
  readonly home: string;
  /** Windows: %APPDATA%. */
  readonly appData: string | undefined;
}

/** How a client starts a server, in the client's own words. */
export interface ClientEntry {
  readonly type?: "stdio";
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export interface ClientFile {
  readonly path: string;
  /** The member of the file that holds the servers by name. */
  readonly container: "mcpServers" | "servers";
  /** Whether an entry says that it is a stdio server. */
  readonly typed: boolean;
}

/** Where a client keeps its MCP servers for the user. */
export function clientFile(client: ClientName, place: Place): ClientFile {
  const path = place.platform === "win32" ? win32 : posix;
  switch (client) {
    case "claude-desktop":
      return {
        path: path.join(applicationData(place), "Claude", "claude_desktop_config.json"),
        container: "mcpServers",
        typed: false,
      };
    case "cursor":
      return {
        path: path.join(place.home, ".cursor", "mcp.json"),
        container: "mcpServers",
        typed: false,
      };
    case "vscode":
      return {
        path: path.join(applicationData(place), "Code", "User", "mcp.json"),
        container: "servers",
        typed: true,
      };
    case "claude-code":
      return { path: path.join(place.home, ".claude.json"), container: "mcpServers", typed: true };
  }
}

function applicationData({ platform, home, appData }: Place): string {
  if (platform === "win32") return appData ?? win32.join(home, "AppData", "Roaming");
  return platform === "darwin" ? posix.join(home, "Library", "Application Support") : posix.join(home, ".config");
}
