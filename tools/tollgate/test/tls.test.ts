import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createAuthority, fixtureServer } from "@tollgate/testkit";
import { expect, test } from "vitest";
import { runLauncher, useState } from "./launcher.ts";

const START_MS = 60_000;
const state = useState();

test(
  "an installation with a certificate is started, called and asked over TLS",
  async () => {
    const authority = await createAuthority();
    const { cert, key } = await authority.server();
    const file = (name: string) => join(state.dir, name);
    writeFileSync(file("cert.pem"), cert);
    writeFileSync(file("key.pem"), key, { mode: 0o600 });
    writeFileSync(file("authority.pem"), authority.cert);
    writeFileSync(
      file("tollgate.yaml"),
      `control_plane: { ssl: { cert_file: cert.pem, key_file: key.pem } }
groups: [{ id: demo }]
mcp_servers: [{ id: everything, group: demo, type: node, command: ${fixtureServer} }]`,
    );
    const up = ["up", "--state", state.dir, "--config", file("tollgate.yaml"), "--port", "0", "--detach"];
    const { code, output } = await runLauncher(up, { NODE_EXTRA_CA_CERTS: file("authority.pem") });
    expect(output).toMatch(/✓ first call through the bridge: everything__echo says/);
    expect(code).toBe(0);
    const { mcpUrl, gatewayUrl } = state.connect();
    expect([mcpUrl, output]).toEqual([`${gatewayUrl}/mcp`, expect.stringContaining(mcpUrl)]);
    expect(gatewayUrl).toMatch(/^https:\/\/127\.0\.0\.1:/);
    // No more than the certificate itself is needed for what an administrator does on this machine.
    const dead = await runLauncher(["dead-letters", "list", "--state", state.dir]);
    expect(dead).toEqual({ code: 0, output: "There is no dead letter.\n" });
    expect((await runLauncher(["stop", "--state", state.dir])).code).toBe(0);
  },
  START_MS,
);
