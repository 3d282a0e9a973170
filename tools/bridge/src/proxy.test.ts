import { expect, test } from "vitest";
import { knowsProxies, proxySettings, proxyVariable } from "./proxy.ts";

const env = {
  HTTP_PROXY: "http://proxy.example:3128",
  https_proxy: "http://proxy.example:3129",
  NO_PROXY: "",
  PATH: "x",
};

test("finds the variable of the URL's scheme, and never for this machine", () => {
  expect(proxyVariable(new URL("http://gateway.example/mcp"), env)).toBe("HTTP_PROXY");
  expect(proxyVariable(new URL("ws://gateway.example/mcp/ws"), env)).toBe("HTTP_PROXY");
  expect(proxyVariable(new URL("https://gateway.example/mcp"), env)).toBe("https_proxy");
  expect(proxyVariable(new URL("wss://gateway.example/mcp/ws"), env)).toBe("https_proxy");
  expect(proxyVariable(new URL("https://gateway.example/mcp"), {})).toBeUndefined();
  for (const host of ["localhost", "a.localhost", "127.0.0.2", "[::1]"])
    expect(proxyVariable(new URL(`http://${host}:8080/mcp`), env)).toBeUndefined();
});

test("hands on only what is about proxies", () => {
  expect(proxySettings(new URL("http://gateway.example/mcp"), env)).toEqual({
    HTTP_PROXY: env.HTTP_PROXY,
    https_proxy: env.https_proxy,
  });
});

test("knows which Node can use them", () => {
  expect(["20.20.2", "22.20.0", "23.11.0", "24.4.1"].map(knowsProxies)).toEqual([false, false, false, false]);
  expect(["22.21.0", "24.5.0", "24.21.0", "25.0.0"].map(knowsProxies)).toEqual([true, true, true, true]);
});
