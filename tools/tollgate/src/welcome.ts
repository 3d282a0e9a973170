/** What the person who starts an installation has to know of it. The same for `npm start` and for compose. */
export interface WelcomeFacts {
  /** As the user's machine reaches it. */
  readonly gatewayUrl: string;
  readonly token: string;
  /** Where the token of the management API is, in words. */
  readonly adminTokenPlace: string;
  /** A command that prints it. */
  readonly adminTokenCommand: string;
  /** The bundle's absolute path; absent where it is not built on the user's machine. */
  readonly bridge: string | undefined;
  readonly stopCommand: string;
}

export function renderWelcome(facts: WelcomeFacts): string {
  const { gatewayUrl, token } = facts;
  const mcpUrl = `${gatewayUrl}/mcp`;
  return `
Tollgate is ready.

  MCP endpoint   ${mcpUrl}      (also /mcp/GROUP and /mcp/GROUP/SERVER)
  Token          ${token}
  API            ${gatewayUrl}/api/v1/openapi.json
  Usage          ${gatewayUrl}/metering/usage
  Admin token    ${facts.adminTokenPlace}

Connect an AI client
  Claude Code
    claude mcp add tollgate --transport http ${mcpUrl} --header "Authorization: Bearer ${token}"
${facts.bridge === undefined ? remoteClients(mcpUrl, token) : bridgeClients(facts.bridge, mcpUrl, token)}

What to try next
  ${toolsListCommand(mcpUrl, token)}
  curl -s "${gatewayUrl}/metering/usage?groupBy=server,tool" -H "Authorization: Bearer $(${facts.adminTokenCommand})"
  ${facts.stopCommand}
`;
}

function bridgeClients(bridge: string, mcpUrl: string, token: string): string {
  const entry = { command: "node", args: [bridge], env: { TOLLGATE_URL: mcpUrl, TOLLGATE_TOKEN: token } };
  return `  Claude Desktop, Cursor: put this into the client's configuration
    ${JSON.stringify({ mcpServers: { tollgate: entry } })}
    or have it written there (--client claude-desktop, cursor, vscode or claude-code):
    TOLLGATE_URL=${mcpUrl} TOLLGATE_TOKEN=${token} node ${shellQuoted(bridge)} install --client cursor`;
}

function remoteClients(mcpUrl: string, token: string): string {
  const entry = { url: mcpUrl, headers: { Authorization: `Bearer ${token}` } };
  return `  Cursor: put this into ~/.cursor/mcp.json
    ${JSON.stringify({ mcpServers: { tollgate: entry } })}
  Claude Desktop, which speaks stdio: build the bridge in a clone of this repository, then
    TOLLGATE_URL=${mcpUrl} TOLLGATE_TOKEN=${token} node tools/bridge/dist/tollgate-bridge.mjs install --client claude-desktop`;
}

/** Of the current revision, which needs no session. */
function toolsListCommand(mcpUrl: string, token: string): string {
  const meta = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
  };
  const body = { jsonrpc: "2.0", id: 1, method: "tools/list", params: { _meta: meta } };
  const headers = [
    `Authorization: Bearer ${token}`,
    "Content-Type: application/json",
    "Accept: application/json, text/event-stream",
    "MCP-Protocol-Version: 2026-07-28",
    "Mcp-Method: tools/list",
  ];
  return `curl -s ${mcpUrl} ${headers.map((header) => `-H "${header}"`).join(" ")} -d '${JSON.stringify(body)}'`;
}

function shellQuoted(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
