import { execFileSync } from "node:child_process";
import { eventually } from "@tollgate/testkit";
import { describe, expect, test } from "vitest";
import { containedSpec } from "./contained-spec.ts";
import { startHeld, useContainment } from "./containment-fixture.ts";
import { placeOf, resolverIn, specOf, usePlace } from "./launch-fixture.ts";
import { useTempDir } from "./temp-dir.ts";

const IMAGE = "node:24-trixie-slim";

const place = usePlace();
const docker = placeOf("docker");
const containment = await useContainment(useTempDir());

function answers(): boolean {
  try {
    execFileSync(docker, ["info"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** The run with containers has an engine; where the other has one too, nothing is left out. */
const hasEngine = process.env["TOLLGATE_TEST_BACKEND"] === "containers" || (docker !== "" && answers());

describe.skipIf(!hasEngine)("a container", () => {
  async function start(script: string) {
    const spec = { ...containedSpec({ sandbox: { mode: "required" } }), type: "container" };
    const declared = { ...specOf(), type: "container", command: IMAGE, args: ["node", "-e", script] };
    const command = await resolverIn(place, process.env["PATH"]!)(declared);
    const held = startHeld(containment, spec, command);
    await eventually(() => expect(held.lines).toEqual(["ready"]), { timeoutMs: 60_000 });
    return { ...held, name: command.container!.name };
  }

  const there = (name: string) =>
    execFileSync(docker, ["ps", "--all", "--quiet", "--filter", `name=${name}`], { encoding: "utf8" }).trim() !== "";

  test("that takes neither the end of its input nor SIGTERM is gone with its server", async () => {
    const held = await start('process.on("SIGTERM", () => 0); setInterval(() => 0, 1000); console.log("ready")');
    expect(there(held.name)).toBe(true);
    await held.server.end();
    await eventually(() => expect(there(held.name)).toBe(false), { timeoutMs: 20_000 });
  }, 120_000);

  test("goes when its client does", async () => {
    const held = await start('setInterval(() => 0, 1000); console.log("ready")');
    held.contained.kill();
    await eventually(() => expect(held.exits).toEqual(["was ended by SIGKILL"]));
    await eventually(() => expect(there(held.name)).toBe(false), { timeoutMs: 20_000 });
  }, 120_000);
});
