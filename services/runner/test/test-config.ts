import type { ServerNews } from "../src/pool/pool.ts";

/** What a runner has to be told that meets nobody. */
export const SETTINGS = {
  serviceKey: "0123456789abcdef",
  recordingKeys: `k1:${"A".repeat(43)}`,
  natsUrl: "nats://127.0.0.1:4222",
};

/** For pools of whose news nobody wants to hear. */
export const NO_NEWS: ServerNews = { tell: () => undefined, secretsRead: () => undefined };
