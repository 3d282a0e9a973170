import { join } from "node:path";

/** The script of the test server; see fixture-server.ts for what it does. */
export const fixtureServer: string = join(import.meta.dirname, "fixture-server.ts");
