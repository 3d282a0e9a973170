import { createLog, type Log } from "@tollgate/service";

/** Silent: a test says what went wrong by what it expects. */
export const testLog: Log = createLog({ name: "test", level: "silent" });
