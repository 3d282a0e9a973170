import { X509Certificate } from "node:crypto";
import { createAuthority } from "@tollgate/testkit";
import { expect, test } from "vitest";
import { alternativeNames, toCertificate } from "./client-certificate.ts";

test("a certificate is told by its fingerprint, its names and its end", async () => {
  const authority = await createAuthority();
  const notAfterMs = Math.floor(Date.now() / 1000) * 1000 + 60_000;
  const made = await authority.client({
    commonName: "bot",
    dns: ["bot.acme.example"],
    uris: ["spiffe://acme/bot"],
    notAfterMs,
  });
  expect(toCertificate(new X509Certificate(made.cert))).toEqual({
    sha256: made.sha256,
    commonName: "bot",
    alternativeNames: ["DNS:bot.acme.example", "URI:spiffe://acme/bot"],
    notAfterMs: BigInt(notAfterMs),
  });
});

test.each([
  ["", []],
  ["DNS:a.example", ["DNS:a.example"]],
  ["DNS:a.example, URI:spiffe://acme/bot", ["DNS:a.example", "URI:spiffe://acme/bot"]],
  ['URI:"http://a.example/, DNS:good.example"', ["URI:http://a.example/, DNS:good.example"]],
  ['DNS:"a\\"b", DNS:c.example', ['DNS:a"b', "DNS:c.example"]],
  ['URI:"not json\\q", DNS:c.example', ["DNS:c.example"]],
])("%j is %j", (text, expected) => {
  expect(alternativeNames(text)).toEqual(expected);
});
