export { eventually } from "./eventually.ts";
export { fixtureServer } from "./fixture.ts";
export { type Infrastructure, useInfrastructure } from "./infrastructure.ts";
export { legacyClient, type McpClientOptions, type McpReply, modernClient, postMcp } from "./mcp-client.ts";
export { openPeer, type Peer, type PeerOptions, type Received, type Revision, REVISIONS } from "./mcp-peer.ts";
export { type ServiceName, type System, useSystem } from "./system.ts";
export { testLog } from "./test-log.ts";
export { callEvent, refusalEvent } from "./sample-events.ts";
