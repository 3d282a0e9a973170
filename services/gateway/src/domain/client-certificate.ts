import type { X509Certificate } from "node:crypto";
import type { policyV1 } from "@tollgate/contracts";

const NAMES_MAX = 32;
/** Node puts what could be mistaken for another name into quotes, as JSON does (CVE-2021-44532). */
const NAME = /((?:[^,"]|"(?:[^"\\]|\\.)*")+)(?:, |$)/g;

/** What policy has to know of a certificate whose chain has been verified. */
export function toCertificate(certificate: X509Certificate): policyV1.Certificate {
  const { CN: name } = certificate.toLegacyObject().subject as { CN?: string | string[] };
  return {
    sha256: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
    // Of several nobody says which one is meant.
    commonName: typeof name === "string" ? name : "",
    alternativeNames: alternativeNames(certificate.subjectAltName ?? ""),
    notAfterMs: BigInt(Date.parse(certificate.validTo)),
  };
}

/** `DNS:bot.acme.example, URI:spiffe://acme/bot` as single names. */
export function alternativeNames(text: string): string[] {
  const names = [...text.matchAll(NAME)].slice(0, NAMES_MAX).map(([, name = ""]) => unquoted(name));
  return names.filter((name) => name !== "");
}

/** Empty where it cannot be read. */
function unquoted(name: string): string {
  const colon = name.indexOf(":");
  const value = name.slice(colon + 1);
  if (!value.includes('"')) return name;
  try {
    return `${name.slice(0, colon + 1)}${String(JSON.parse(value))}`;
  } catch {
    return "";
  }
}
