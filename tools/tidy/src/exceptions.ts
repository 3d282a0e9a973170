/** A rule that one file may break, and why. One that no longer matches anything is a finding itself. */
export interface Exception {
  readonly rule: string;
  readonly file: string;
  /** A part of the finding's message, where the file may break the rule in one thing only. */
  readonly about?: string;
  readonly reason: string;
}

export const EXCEPTIONS: readonly Exception[] = [
  {
    rule: "process-env",
    file: "tools/bootstrap.mjs",
    reason: "a program of its own, in one file, since it runs before anything is installed",
  },
  {
    rule: "process-env",
    file: "infra/compose/setup.mjs",
    reason: "a program of its own: what compose starts before the services",
  },
  {
    rule: "process-env",
    file: "infra/compose/smoke-test.mjs",
    reason: "a program of its own: it hands its environment to the container engine's client",
  },
  {
    rule: "machine-path",
    file: "tools/bridge/src/client-files.test.ts",
    reason: "home folders of the platforms that the clients' files are looked up for: input and expected output",
  },
  {
    rule: "unused-dependency",
    file: "tools/tollgate/package.json",
    about: "@modelcontextprotocol/server-",
    reason: "the demo servers of the default tollgate.yaml: npx starts them from node_modules, with nothing to fetch",
  },
  {
    rule: "machine-path",
    file: "tools/tidy/test/text.test.ts",
    reason: "what the tests plant to see it found",
  },
  {
    rule: "machine-path",
    file: "tools/tidy/test/main.test.ts",
    reason: "what the tests plant to see it found",
  },
];
