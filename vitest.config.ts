import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["{packages,services,tools}/*/{src,test}/**/*.test.ts", "test/**/*.test.ts"],
    globalSetup: ["packages/testkit/src/global-setup.ts"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Two cores: real servers and subprocesses run beside the tests.
    maxWorkers: 2,
  },
});
