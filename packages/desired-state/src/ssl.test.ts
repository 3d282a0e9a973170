import { AppError } from "@tollgate/errors";
import { expect, test } from "vitest";
import { publicUrlOf } from "./installation.ts";
import { loadDesiredState } from "./load.ts";

const load = (controlPlane: string) =>
  loadDesiredState(`control_plane: ${controlPlane}`, { file: "/etc/tollgate/tollgate.yaml", env: {} }).controlPlane;

function messageOf(controlPlane: string): string {
  try {
    load(controlPlane);
    return "";
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "invalid_argument") throw error;
    return error.message;
  }
}

test("without ssl the gateway speaks HTTP, and trusts nobody's word on addresses", () => {
  const controlPlane = load("{ port: 8080 }");
  expect(controlPlane).toMatchObject({ ssl: undefined, trustedProxies: [] });
  expect(publicUrlOf(controlPlane)).toBe("http://127.0.0.1:8080");
});

test("files are those beside the configuration, and clients are sent to https", () => {
  const controlPlane = load("{ ssl: { cert_file: tls/cert.pem, key_file: /run/key.pem }, port: 8443 }");
  expect(controlPlane.ssl).toEqual({
    certFile: "/etc/tollgate/tls/cert.pem",
    keyFile: "/run/key.pem",
    clientCaFile: "",
    clientCertificates: "off",
  });
  expect(publicUrlOf(controlPlane)).toBe("https://127.0.0.1:8443");
});

test("client certificates", () => {
  const more = "client_ca_file: clients.pem, client_certificates: required";
  expect(load(`{ ssl: { cert_file: c, key_file: k, ${more} } }`).ssl).toMatchObject({
    clientCaFile: "/etc/tollgate/clients.pem",
    clientCertificates: "required",
  });
});

test("trusted proxies", () => {
  const { trustedProxies } = load('{ trusted_proxies: ["10.0.0.0/8", "192.0.2.1", "fd00::/8"] }');
  expect(trustedProxies).toEqual(["10.0.0.0/8", "192.0.2.1", "fd00::/8"]);
});

test.each([
  ["{ ssl: { key_file: k } }", /control_plane\.ssl\.cert_file is missing/],
  ["{ ssl: { cert_file: c } }", /control_plane\.ssl\.key_file is missing/],
  ["{ ssl: { cert_file: c, key_file: k, client_certificates: optional } }", /client_ca_file is (needed|missing)/],
  ["{ ssl: { cert_file: c, key_file: k, client_ca_file: a } }", /client_ca_file goes with client_certificates/],
  ["{ ssl: { cert_file: c, key_file: k, client_certificates: maybe } }", /client_certificates/],
  ["{ ssl: { cert: c } }", /ssl\.cert is not a known key; is "cert_file" meant|ssl\.cert is not a known key/],
  ["{ trusted_proxies: [proxy.example] }", /trusted_proxies\[0\] has to be an address or a network/],
  ["{ trusted_proxies: ['10.0.0.0/99'] }", /trusted_proxies\[0\] has to be/],
])("%s is a mistake", (controlPlane, message) => {
  expect(messageOf(controlPlane)).toMatch(message);
});
