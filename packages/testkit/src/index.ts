export { eventually } from "./eventually.ts";
export { type Infrastructure, useInfrastructure } from "./infrastructure.ts";
export { testLog } from "./test-log.ts";
