// Documents as their programs write them. Their secrets are made up.

export const CLAUDE = `{
  "mcpServers": {
    "GitHub": {
      "command": "docker",
      "args": ["run", "-i", "--rm", "-e", "GITHUB_PERSONAL_ACCESS_TOKEN", "--name=gh", "images.example.com/github-mcp-server:0.9.1", "stdio"],
      "env": { "GITHUB_PERSONAL_ACCESS_TOKEN": "ghp_made0up0made0up0made0up" }
    },
    "files": { "command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem@2026.8.31", "/srv/files"] },
    "search": {
      "command": "cmd",
      "args": ["/c", "npx", "-y", "@example/search"],
      "env": { "SEARCH_API_KEY": "plain-key", "SEARCH_REGION": "eu", "DEBUG": "true" },
      "disabled": true
    },
    "git": { "command": "uvx", "args": ["mcp-server-git", "--repository", "/srv/git"] },
    "weather": { "command": "uv", "args": ["--directory", "/srv/weather", "run", "weather.py"] },
    "reports": { "command": "python3", "args": ["/srv/reports.py", "--password", "hunter2-hunter2"] },
    "crm": {
      "command": "npx",
      "args": ["mcp-remote", "https://crm.example.com/sse", "--header", "Authorization:\${AUTH_HEADER}", "--transport", "sse-only"],
      "env": { "AUTH_HEADER": "Bearer crm-secret-1" }
    },
    "own": { "command": "/opt/own/server", "args": ["--verbose"] }
  }
}`;

export const CURSOR = `{
  "mcpServers": {
    "linear": { "url": "https://mcp.linear.example/mcp", "headers": { "Authorization": "Bearer \${env:LINEAR_TOKEN}", "X-Team": "core" } },
    "old": { "url": "https://user:pa%20ss@old.example.com/sse?api_key=abc123def&v=2", "type": "sse" }
  }
}`;

export const VSCODE = `// mcp.json
{
  "inputs": [
    { "type": "promptString", "id": "jira-token", "description": "Jira API token", "password": true }, // asked once
  ],
  "servers": {
    /* one of each */
    "Jira // Cloud": {
      "type": "stdio",
      "command": "node",
      "args": ["\${workspaceFolder}/jira.js", "--url", "https://jira.example.com/a//b"],
      "env": { "JIRA_TOKEN": "\${input:jira-token}", "TEMPLATE": "cost: $\{" },
    },
    "docs": { "type": "http", "url": "https://docs.example.com/mcp" },
  },
}`;

export const REGISTRY = {
  $schema: "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
  name: "io.github.acme/brave-search",
  title: "Brave Search",
  description: "Searches",
  version: "1.0.2",
  packages: [
    {
      registryType: "npm",
      registryBaseUrl: "https://packages.example.com",
      identifier: "@acme/server-brave-search",
      version: "1.0.2",
      transport: { type: "stdio" },
      packageArguments: [
        { type: "positional", valueHint: "mode", value: "stdio" },
        { type: "named", name: "--region", default: "eu", choices: ["eu", "us"] },
        { type: "named", name: "--account", isRequired: true, valueHint: "account" },
        { type: "named", name: "--cache", value: "{folder}/data", variables: { folder: { default: "cache" } } },
        { type: "named", name: "--unused", description: "May be left out" },
      ],
      environmentVariables: [
        { name: "BRAVE_API_KEY", isRequired: true, isSecret: true },
        { name: "LOG_LEVEL", default: "info" },
        { name: "OPTIONAL" },
      ],
    },
    { registryType: "mcpb", identifier: "https://example.com/x.mcpb", transport: { type: "stdio" } },
  ],
  remotes: [{ type: "streamable-http", url: "https://search.example.com/mcp" }],
};

export const REGISTRY_LIST = {
  servers: [
    {
      server: {
        name: "com.example/remote",
        version: "2.0.0",
        remotes: [
          {
            type: "streamable-http",
            url: "https://{tenant}.example.com/mcp",
            variables: { tenant: { isRequired: true } },
            headers: [{ name: "Authorization", value: "Bearer {token}", variables: { token: { isSecret: true } } }],
          },
        ],
      },
      _meta: { "io.modelcontextprotocol.registry/official": { status: "active", isLatest: true } },
    },
    {
      server: {
        name: "com.example/remote",
        version: "1.0.0",
        remotes: [{ type: "sse", url: "https://old.example.com" }],
      },
      _meta: { "io.modelcontextprotocol.registry/official": { status: "active", isLatest: false } },
    },
    {
      name: "io.example/database",
      version_detail: { version: "3.1.0" },
      packages: [
        {
          registry_type: "oci",
          registry_base_url: "https://images.example.com/",
          identifier: "example/database",
          version: "3.1.0",
          runtime_arguments: [
            { type: "named", name: "-e", value: "DB_TYPE={db_type}", variables: { db_type: { default: "postgres" } } },
            { type: "named", name: "--network", value: "host" },
          ],
          environment_variables: [{ name: "DB_PASSWORD", is_required: true, is_secret: true }],
        },
      ],
    },
    {
      name: "io.example/python",
      version: "0.5.0",
      packages: [{ registryType: "pypi", identifier: "weather-mcp", version: "0.5.0", transport: { type: "stdio" } }],
    },
    { name: "io.example/none", version: "1.0.0", packages: [{ registryType: "cargo", identifier: "x" }] },
  ],
};

export const OPENAPI = `openapi: 3.0.3
info: { title: Pet Shop, version: "1" }
servers: [{ url: "https://pets.example.com/v1" }]
security: [{ key: [] }]
paths:
  /pets:
    get:
      operationId: listPets
      description: "Costs \${nothing}"
      parameters: [{ name: page, in: query, schema: { type: integer } }]
      responses: { "200": { description: Pets } }
components:
  securitySchemes:
    key: { type: apiKey, in: header, name: X-Key }
`;
