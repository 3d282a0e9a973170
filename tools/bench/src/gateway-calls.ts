import { type Call, type HttpConnection, openHttpConnection } from "@tollgate/testkit";
import type { MeasuredSystem } from "./system.ts";

const META = '{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}';
const TOOL = "everything__echo";

/** Calls of the echo tool through the gateway by a modern client; one connection each, as many clients have. */
export async function openGatewayLanes(
  system: MeasuredSystem,
  count: number,
): Promise<{ lanes: Call[]; close: () => void }> {
  const headers = {
    authorization: `Bearer ${system.token}`,
    accept: "application/json, text/event-stream",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-name": TOOL,
  };
  const connections: HttpConnection[] = [];
  for (let i = 0; i < count; i++) connections.push(await openHttpConnection(system.mcpUrl, headers));
  const lanes = connections.map((connection, lane): Call => async (n) => {
    const id = `${lane}-${n}`;
    const params = `{"name":"${TOOL}","arguments":{"message":"m${n}"},"_meta":${META}}`;
    const body = await connection.post(`{"jsonrpc":"2.0","id":"${id}","method":"tools/call","params":${params}}`);
    // Its own answer to its own question, and a whole one.
    if (!body.includes(`"id":"${id}"`) || !body.includes(`Echo: m${n}"`))
      throw new Error(`wrong reply to ${id}: ${body.slice(0, 300)}`);
  });
  return { lanes, close: () => connections.forEach((connection) => connection.close()) };
}

/** The floor: the same client against bare Fastify that sends the body back. */
export async function openEchoLanes(port: number, count: number): Promise<{ lanes: Call[]; close: () => void }> {
  const connections: HttpConnection[] = [];
  for (let i = 0; i < count; i++) connections.push(await openHttpConnection(`http://127.0.0.1:${port}/`, {}));
  const lanes = connections.map((connection, lane): Call => async (n) => {
    const sent = `{"jsonrpc":"2.0","id":"${lane}-${n}","method":"tools/call","params":{"name":"echo","arguments":{"message":"m${n}"}}}`;
    if ((await connection.post(sent)) !== sent) throw new Error("wrong echo");
  });
  return { lanes, close: () => connections.forEach((connection) => connection.close()) };
}
