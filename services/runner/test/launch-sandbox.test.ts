import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { bubblewrapProgram, eventually } from "@tollgate/testkit";
import { describe, expect, test } from "vitest";
import type { LaunchSpec } from "../src/launch/command.ts";
import { containedSpec } from "./contained-spec.ts";
import { type Held, outputOf, startHeld, useContainment } from "./containment-fixture.ts";
import { programThat, resolverIn, usePlace } from "./launch-fixture.ts";
import { useTempDir } from "./temp-dir.ts";

// What a command says that it has to read is enough for it, and in a sandbox there is nothing else.

const place = usePlace();
const containment = await useContainment(useTempDir(), { bwrap: (await bubblewrapProgram()) ?? "none" });
const { isolation } = containment.levelOf(containedSpec({ sandbox: { mode: "auto" } }));

/** A folder with a package that has a script in a folder below, and one of Python beside it. */
function writeProject(): { project: string; script: string } {
  const project = join(place.dir, "project");
  mkdirSync(join(project, "dist"), { recursive: true });
  writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module" }));
  writeFileSync(join(project, "shared.js"), `export const word = "shared";`);
  writeFileSync(join(project, "dist", "server.js"), `import { word } from "../shared.js"; console.log(word);`);
  writeFileSync(join(project, "server.py"), "import json, ssl, sys\nprint(sys.prefix != sys.base_prefix)\n");
  writeFileSync(join(project, "server"), `#!/usr/bin/env node\nconsole.log("started", process.version);`, {
    mode: 0o755,
  });
  return { project, script: join(project, "dist", "server.js") };
}

async function start(declared: Partial<LaunchSpec>): Promise<Held> {
  const spec = { ...containedSpec({ sandbox: { mode: "required" } }), ...declared };
  const command = await resolverIn(place, process.env["PATH"]!)(spec);
  return startHeld(containment, spec, command);
}

const said = async (declared: Partial<LaunchSpec>) => outputOf(await start(declared));

describe.skipIf(isolation !== "bubblewrap")("started in a sandbox", () => {
  test("a script with its package", async () => {
    expect(await said({ type: "node", command: writeProject().script })).toBe("shared");
  });

  test("a script of Python, in its virtual environment", async () => {
    const { project } = writeProject();
    expect(await said({ type: "python", command: join(project, "server.py") })).toBe("True");
    expect(await said({ type: "python", command: "server.py", workingDir: project })).toBe("True");
  });

  test("also where its Python is known by a link to its folder", async () => {
    const { project } = writeProject();
    const report = "import json, sys; print(json.dumps([sys.executable, sys.base_prefix]))";
    const [executable, prefix] = JSON.parse(execFileSync("python3", ["-c", report]).toString()) as [string, string];
    symlinkSync(prefix, join(place.dir, "python"));
    const linked = join(place.dir, "python", relative(prefix, executable));
    const { bin } = programThat(place, "python3", `exec "${linked}" "$@"`);
    const command = await resolverIn(place, bin)({ type: "python", command: join(project, "server.py") });
    const spec = containedSpec({ sandbox: { mode: "required" } });
    expect(command.files).toContain(dirname(linked));
    expect(await outputOf(startHeld(containment, spec, command))).toBe("True");
  });

  test("an npm package with what it depends on", async () => {
    const held = await start({ type: "npx", command: "@modelcontextprotocol/server-everything", args: ["stdio"] });
    held.server.write(`{"jsonrpc":"2.0","id":1,"method":"ping"}`);
    await eventually(() => expect(held.lines).toContainEqual(expect.stringContaining(`"id":1`)));
  });

  test("a program, which finds Node", async () => {
    const { project } = writeProject();
    expect(await said({ type: "command", command: join(project, "server") })).toBe(`started ${process.version}`);
    expect(await said({ type: "command", command: "node", args: ["-p", "1 + 1"] })).toBe("2");
  });

  test("not what lies beside", async () => {
    const { script } = writeProject();
    writeFileSync(join(place.dir, "beside"), "");
    const list = `console.log(require("fs").readdirSync(process.argv[1]).join())`;
    const spec = { type: "node", command: "-e", args: [list, place.dir], workingDir: dirname(script) };
    expect(await said(spec)).toBe("project");
  });
});
