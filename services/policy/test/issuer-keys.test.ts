import { eventually, testLog } from "@tollgate/testkit";
import { decodeProtectedHeader, type FlattenedJWSInput, jwtVerify } from "jose";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type IssuerKeysBounds, openIssuerKeys } from "../src/clients/issuer-keys.ts";
import { newKey, startIssuer, type TestIssuer } from "./issuer.ts";

let issuer: TestIssuer;
let end: AbortController;

beforeEach(async () => {
  issuer = await startIssuer();
  end = new AbortController();
});
afterEach(async () => {
  end.abort();
  await issuer.close();
});

function open(bounds: Partial<IssuerKeysBounds> = {}, from: { issuer: string; jwksUri?: string } = issuer) {
  const { issuer: name, jwksUri } = from;
  const keys = openIssuerKeys({ issuer: { issuer: name, jwksUri }, signal: end.signal, log: testLog, bounds });
  return {
    verify: async (token: string) => (await jwtVerify(token, keys)).payload.sub,
    /** Looks a key up without a token. */
    find: (header: { kid: string; alg: string }) => keys(header, {} as FlattenedJWSInput),
  };
}

const UNAVAILABLE = { code: "unavailable", retryable: true, message: expect.stringContaining("cannot be fetched") };
const keyFetches = () => issuer.asked.filter((path) => path === "/keys").length;

describe("where keys are found", () => {
  test.each([
    ["", "/.well-known/oauth-authorization-server"],
    ["", "/.well-known/openid-configuration"],
    ["/", "/.well-known/openid-configuration"],
    ["/realms/acme", "/.well-known/oauth-authorization-server/realms/acme"],
    ["/realms/acme", "/.well-known/openid-configuration/realms/acme"],
    ["/realms/acme", "/realms/acme/.well-known/openid-configuration"],
    ["/realms/acme/", "/realms/acme/.well-known/openid-configuration"],
  ])("of an issuer with the path %j: %s", async (path, metadataAt) => {
    const other = await startIssuer({ path, metadataAt });
    try {
      expect(await open({}, other).verify(await other.token({}))).toBe("alice");
    } finally {
      await other.close();
    }
  });

  test("where the settings name the place, no metadata is asked for", async () => {
    const keys = open({}, { issuer: issuer.issuer, jwksUri: `${issuer.origin}/keys` });
    expect(await keys.verify(await issuer.token({}))).toBe("alice");
    expect(issuer.asked).toEqual(["/keys"]);
  });
});

describe("an issuer that cannot be asked is unavailable, not the token wrong", () => {
  const METADATA = "/.well-known/oauth-authorization-server";

  test.each<[string, string, string | number]>([
    ["metadata of another issuer", METADATA, '{"issuer":"https://other.example","jwks_uri":"ORIGIN/keys"}'],
    ["metadata without keys", METADATA, "{}"],
    ["metadata that is a page", METADATA, "<html>"],
    ["no metadata", METADATA, 404],
    ["keys that moved", "/keys", 302],
    ["an error in place of keys", "/keys", 500],
    ["keys that are none", "/keys", '{"keys":"none"}'],
    ["keys that are not JSON", "/keys", "null"],
    ["keys without end", "/keys", `{"keys":[],"x":"${"x".repeat(300_000)}"}`],
  ])("%s", async (_name, path, answer) => {
    issuer.answers.set(path, (response) => {
      response.writeHead(typeof answer === "number" ? answer : 200, { location: `${issuer.origin}/elsewhere` });
      response.end(typeof answer === "number" ? "" : answer.replace("ORIGIN", issuer.origin));
    });
    await expect(open().verify(await issuer.token({}))).rejects.toMatchObject(UNAVAILABLE);
    expect(issuer.asked).not.toContain("/elsewhere");
  });

  test("nobody listens: it is asked once, and again after a while", async () => {
    const token = await issuer.token({});
    await issuer.goAway();
    const keys = open({ retryAfterMs: 300 });
    await expect(keys.verify(token)).rejects.toMatchObject(UNAVAILABLE);
    await issuer.listen();
    await expect(keys.verify(token)).rejects.toMatchObject(UNAVAILABLE);
    expect(issuer.asked).toEqual([]);
    await eventually(async () => expect(await keys.verify(token)).toBe("alice"));
  });

  test("it never answers: requests wait for so long and no longer, and what comes late is used", async () => {
    const token = await issuer.token({});
    let release = (): void => undefined;
    issuer.answers.set("/keys", (response) => {
      issuer.answers.delete("/keys");
      release = () => void response.writeHead(302, {}).end();
    });
    const keys = open({ waitMs: 100, retryAfterMs: 0 });
    const began = performance.now();
    await expect(keys.verify(token)).rejects.toMatchObject(UNAVAILABLE);
    expect(performance.now() - began).toBeLessThan(1_000);
    // The look goes on meanwhile, and whoever comes waits for the same one.
    await expect(keys.verify(token)).rejects.toMatchObject(UNAVAILABLE);
    expect(keyFetches()).toBe(1);
    release();
    await eventually(async () => expect(await keys.verify(token)).toBe("alice"));
  });

  test("a look ends at its time", async () => {
    issuer.answers.set("/keys", () => undefined);
    const keys = open({ loadTimeoutMs: 100, waitMs: 10_000 });
    await expect(keys.verify(await issuer.token({}))).rejects.toMatchObject(UNAVAILABLE);
  });
});

describe("keys are remembered", () => {
  test("for all tokens, however many come at once", async () => {
    const keys = open();
    const token = await issuer.token({});
    await Promise.all(Array.from({ length: 50 }, () => keys.verify(token)));
    await keys.verify(token);
    expect(keyFetches()).toBe(1);
  });

  test("while the issuer is away, but not for ever", async () => {
    const keys = open({ refreshAfterMs: 0, keepMs: 400, retryAfterMs: 0 });
    const token = await issuer.token({});
    await keys.verify(token);
    await issuer.goAway();
    expect(await keys.verify(token)).toBe("alice");
    await eventually(() => expect(keys.verify(token)).rejects.toMatchObject(UNAVAILABLE));
  });

  test("and looked up anew, so that one that the issuer took back ends", async () => {
    const keys = open({ refreshAfterMs: 0 });
    const token = await issuer.token({});
    await keys.verify(token);
    issuer.rotate(await newKey("second"));
    await eventually(() => expect(keys.verify(token)).rejects.toMatchObject({ code: "ERR_JWKS_NO_MATCHING_KEY" }));
  });
});

describe("a key that is not known", () => {
  test("is looked for once: the issuer may have changed its keys", async () => {
    const keys = open();
    await keys.verify(await issuer.token({}));
    issuer.rotate(await newKey("second"), issuer.key);
    const token = await issuer.token({});
    expect(decodeProtectedHeader(token).kid).toBe("second");
    expect(await Promise.all(Array.from({ length: 20 }, () => keys.verify(token)))).toHaveLength(20);
    expect(keyFetches()).toBe(2);
  });

  test("and the next only after the cool-down, whoever sends them", async () => {
    const keys = open({ coolDownMs: 500 });
    await keys.verify(await issuer.token({}));
    for (let index = 0; index < 20; index += 1) {
      await expect(keys.find({ kid: `made-up-${index}`, alg: "ES256" })).rejects.toMatchObject({
        code: "ERR_JWKS_NO_MATCHING_KEY",
      });
    }
    expect(keyFetches()).toBe(2);
    issuer.rotate(await newKey("second"));
    const token = await issuer.token({});
    await expect(keys.verify(token)).rejects.toMatchObject({ code: "ERR_JWKS_NO_MATCHING_KEY" });
    await eventually(async () => expect(await keys.verify(token)).toBe("alice"));
    expect(keyFetches()).toBe(3);
  });

  test("is not looked for right after the keys came", async () => {
    await expect(open().find({ kid: "made-up", alg: "ES256" })).rejects.toMatchObject({
      code: "ERR_JWKS_NO_MATCHING_KEY",
    });
    expect(keyFetches()).toBe(1);
  });

  test("is unavailable while the issuer is away: it may be a new one", async () => {
    const keys = open();
    await keys.verify(await issuer.token({}));
    await issuer.goAway();
    await expect(keys.find({ kid: "new", alg: "ES256" })).rejects.toMatchObject(UNAVAILABLE);
  });
});
