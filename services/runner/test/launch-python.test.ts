import { mkdirSync, readdirSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { outputOf, placeOf, programThat, resolverIn, usePlace } from "./launch-fixture.ts";

const SYSTEM = "/usr/bin:/bin";
const python3 = placeOf("python3");

const place = usePlace();
/** The machine's own python3, and how often it was started. */
function realPython() {
  const { bin, runs } = programThat(place, "python3", `exec "${python3}" "$@"`);
  return { path: `${bin}:${SYSTEM}`, runs };
}
const environments = () =>
  readdirSync(place.installDir, { withFileTypes: true }).filter((entry) => entry.isDirectory()).length;

/** What a server says of the Python that it runs on. */
const REPORT = `
import json, os, sys
print(json.dumps({
    "prefix": sys.prefix, "base": sys.base_prefix, "args": sys.argv[1:],
    "virtual": os.environ.get("VIRTUAL_ENV"), "unbuffered": os.environ.get("PYTHONUNBUFFERED"),
    "secret": os.environ.get("PIP_INDEX_URL"), "word": __import__("greeting").WORD if "greet" in sys.argv else None,
}))
`;

/** A package that pip builds without anything that it would have to fetch. */
function writePackage(word: string): void {
  const dir = join(place.dir, "project", "greeting");
  mkdirSync(dir, { recursive: true });
  writeFileSync(
    join(dir, "pyproject.toml"),
    `[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n[project]\nname = "greeting"\nversion = "1.0"\n`,
  );
  writeFileSync(
    join(dir, "backend.py"),
    `import zipfile
def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "greeting-1.0-py3-none-any.whl"
    with zipfile.ZipFile(directory + "/" + name, "w") as wheel:
        wheel.writestr("greeting.py", "WORD = '${word}'")
        wheel.writestr("greeting-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: greeting\\nVersion: 1.0\\n")
        wheel.writestr("greeting-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("greeting-1.0.dist-info/RECORD", "")
    return name
`,
  );
}

/** A folder with a script that reports; `requirements` is the text of its requirements.txt. */
function writeProject(requirements?: string) {
  const workingDir = join(place.dir, "project");
  mkdirSync(workingDir, { recursive: true });
  writeFileSync(join(workingDir, "server.py"), REPORT);
  const file = join(workingDir, "requirements.txt");
  if (requirements !== undefined) writeFileSync(file, requirements);
  return {
    type: "python",
    command: "server.py",
    workingDir,
    ...(requirements === undefined ? {} : { requirements: file }),
  };
}

// Virtual environments with pip: seconds each, on a machine that is busy many.
describe("python", { timeout: 120_000 }, () => {
  test("runs in a virtual environment of its own, which is made once, also without requirements", async () => {
    const python = realPython();
    const resolve = resolverIn(place, python.path, { PIP_INDEX_URL: "https://user:secret@packages.example/" });
    const spec = { ...writeProject(), args: ["-x"] };
    const [command, other] = await Promise.all([resolve(spec), resolve(spec)]);
    const said = JSON.parse(outputOf(command)) as Record<string, unknown>;
    const dir = realpathSync(said["prefix"] as string);
    expect(dir.startsWith(realpathSync(place.installDir))).toBe(true);
    expect(said).toMatchObject({ args: ["-x"], virtual: dir, unbuffered: "1", secret: null });
    expect(command).toMatchObject({ command: join(dir, "bin", "python"), cwd: spec.workingDir });
    expect(command.files).toEqual(expect.arrayContaining([dir, spec.workingDir, join(said["base"] as string, "lib")]));
    expect(other.command).toBe(command.command);
    expect((await resolverIn(place, python.path)(spec)).command).toBe(command.command);
    expect(environments()).toBe(1);
  });

  test("has what its requirements name, and another environment when they have changed", async () => {
    const { path } = realPython();
    writePackage("hello");
    const spec = { ...writeProject("./greeting\n"), args: ["greet"] };
    const first = await resolverIn(place, path)(spec);
    expect(JSON.parse(outputOf(first))).toMatchObject({ word: "hello" });
    writePackage("hi");
    const second = await resolverIn(place, path)({ ...writeProject("./greeting\n# again\n"), args: ["greet"] });
    expect(JSON.parse(outputOf(second))).toMatchObject({ word: "hi" });
    expect(JSON.parse(outputOf(first))).toMatchObject({ word: "hello" });
    expect(environments()).toBe(2);
  });

  test("a module is started with -m; requirements may be empty", async () => {
    const spec = { ...writeProject(""), command: "-m", args: ["server", "a"] };
    const command = await resolverIn(place, realPython().path)(spec);
    expect(JSON.parse(outputOf(command))).toMatchObject({ args: ["a"] });
  });

  test("an environment whose Python has gone is made anew", async () => {
    const { path } = realPython();
    const spec = writeProject();
    const { command } = await resolverIn(place, path)(spec);
    rmSync(command);
    const anew = await resolverIn(place, path)(spec);
    expect(anew.command).not.toBe(command);
    expect(JSON.parse(outputOf(anew))).toMatchObject({ args: [] });
  });

  test("what pip cannot install is said in its words, and tried again the next time", async () => {
    const resolve = resolverIn(place, realPython().path);
    const spec = { ...writeProject("./not-there\n"), args: ["greet"] };
    const message = expect.stringMatching(/^pip could not install \/.*requirements\.txt: .*not-there/) as string;
    await expect(resolve(spec)).rejects.toMatchObject({ code: "unavailable", message });
    expect(environments()).toBe(0);
    writePackage("now");
    expect(JSON.parse(outputOf(await resolve({ ...writeProject("./greeting\n"), args: ["greet"] })))).toMatchObject({
      word: "now",
    });
  });

  test("requirements that are not there", async () => {
    const spec = { ...writeProject(), requirements: "/no/such/requirements.txt" };
    const reason = "the requirements file /no/such/requirements.txt cannot be read: ENOENT";
    await expect(resolverIn(place, realPython().path)(spec)).rejects.toThrow(reason);
  });

  test("a runtime that is missing, whole or in part, is named with the command that installs it", async () => {
    const hint = "install it with: (apt-get install python3 python3-venv|brew install python)$";
    const none = resolverIn(place, place.dir)(writeProject());
    await expect(none).rejects.toThrow(new RegExp(`^python3 is not there; ${hint}`));
    // As Debian's python3 is without python3-venv.
    const script = `exec "${python3}" -c 'import sys; sys.modules["ensurepip"] = None; exec(sys.argv[1])' "$2"`;
    const { bin } = programThat(place, "python3", script);
    const half = resolverIn(place, `${bin}:${SYSTEM}`)(writeProject());
    await expect(half).rejects.toThrow(new RegExp(`^python3 has no venv; ${hint}`));
  });
});

describe("uv", () => {
  // Stands in for uv, which few machines that run these tests have: what matters here is when it is called, with what,
  // and that its environment is used; that is a real one.
  const SYNC = `
[ "$*" = "sync --frozen --project $PWD" ] || { echo "error: unexpected $*" >&2; exit 2; }
"${python3}" -m venv --without-pip "$UV_PROJECT_ENVIRONMENT" || exit 1
printf '#!/bin/sh\\necho "$0 $*"\\n' > "$UV_PROJECT_ENVIRONMENT/bin/greet"
chmod +x "$UV_PROJECT_ENVIRONMENT/bin/greet"`;

  function project(lock: string | undefined) {
    const { workingDir } = writeProject();
    if (lock !== undefined) writeFileSync(join(workingDir, "uv.lock"), lock);
    return { type: "uv", command: "greet", workingDir };
  }

  test("installs what the lock file says once, then starts the project's command without uv", async () => {
    const uv = programThat(place, "uv", SYNC);
    const resolve = resolverIn(place, `${uv.bin}:${SYSTEM}`);
    const spec = { ...project("one"), args: ["a", "b"] };
    const [command] = await Promise.all([resolve(spec), resolve(spec)]);
    expect(outputOf(command)).toBe(`${command.command} a b\n`);
    expect(command.files).toContain(spec.workingDir);
    const script = await resolve({ ...spec, command: "server.py" });
    expect(JSON.parse(outputOf(script))).toMatchObject({ args: ["a", "b"], unbuffered: "1" });
    const module = await resolve({ ...spec, command: "-m", args: ["server", "c"] });
    expect(JSON.parse(outputOf(module))).toMatchObject({ args: ["c"] });
    expect(uv.runs()).toBe(1);

    const changed = await resolve({ ...project("two"), args: [] });
    expect(changed.command).not.toBe(command.command);
    expect(uv.runs()).toBe(2);
  });

  test("says what is missing: the lock file, the command, uv itself", async () => {
    const uv = programThat(place, "uv", SYNC);
    const resolve = resolverIn(place, `${uv.bin}:${SYSTEM}`);
    await expect(resolve(project(undefined))).rejects.toThrow(
      /^uv\.lock is not in \S+\/project; make it there with: uv lock/,
    );
    const spec = { ...project("one"), command: "other" };
    await expect(resolve(spec)).rejects.toThrow(/^the project in \S+\/project has no command other$/);
    const none = resolverIn(place, place.dir)(project("two"));
    await expect(none).rejects.toThrow(/^uv is not there; install it with: (curl|brew) /);
  });

  test("what it could not install is said in its words", async () => {
    const uv = programThat(place, "uv", `echo "Resolved 1" >&2; echo "error: no such package" >&2; exit 2`);
    const resolve = resolverIn(place, `${uv.bin}:${SYSTEM}`);
    await expect(resolve(project("one"))).rejects.toThrow("uv could not install the project: no such package");
    expect(environments()).toBe(0);
  });
});
