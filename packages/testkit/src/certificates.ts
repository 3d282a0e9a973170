import { X509Certificate } from "node:crypto";
import { generate } from "selfsigned";

const DAY_MS = 86_400_000;

/** PEM texts, as `node:tls` takes them. */
export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
  /** SHA-256 of the DER form, 64 hexadecimal digits in lower case. */
  readonly sha256: string;
}

export interface CertificateNames {
  readonly commonName: string;
  readonly dns?: readonly string[];
  readonly uris?: readonly string[];
  readonly notAfterMs?: number;
}

/** An authority of its own, that signs what a test needs. */
export interface TestAuthority {
  readonly cert: string;
  /** For 127.0.0.1 and localhost. */
  server(): Promise<TestCertificate>;
  client(names: CertificateNames): Promise<TestCertificate>;
}

type Extensions = NonNullable<NonNullable<Parameters<typeof generate>[1]>["extensions"]>;

export async function createAuthority(commonName = "test authority"): Promise<TestAuthority> {
  const own = await issue(
    { commonName },
    { extensions: [{ name: "basicConstraints", cA: true }, usage({ keyCertSign: true, cRLSign: true })] },
  );
  const ca = { cert: own.cert, key: own.key };
  return {
    cert: own.cert,
    server: () => {
      const altNames = [{ type: 7 as const, ip: "127.0.0.1" }, dnsName("localhost")];
      const extensions: Extensions = [
        usage({ digitalSignature: true }),
        { name: "extKeyUsage", serverAuth: true },
        { name: "subjectAltName", altNames },
      ];
      return issue({ commonName: "localhost" }, { ca, extensions });
    },
    client: (names) => {
      const { dns = [], uris = [] } = names;
      const altNames = [...dns.map(dnsName), ...uris.map((value) => ({ type: 6 as const, value }))];
      const extensions: Extensions = [
        usage({ digitalSignature: true }),
        { name: "extKeyUsage", clientAuth: true },
        ...(altNames.length === 0 ? [] : [{ name: "subjectAltName" as const, altNames }]),
      ];
      return issue(names, { ca, extensions });
    },
  };
}

async function issue(
  { commonName, notAfterMs = Date.now() + DAY_MS }: CertificateNames,
  options: { ca?: { cert: string; key: string }; extensions: Extensions },
): Promise<TestCertificate> {
  const made = await generate([{ name: "commonName", value: commonName }], {
    keyType: "ec",
    algorithm: "sha256",
    notBeforeDate: new Date(Math.min(Date.now(), notAfterMs) - DAY_MS),
    notAfterDate: new Date(notAfterMs),
    ...options,
  });
  const sha256 = new X509Certificate(made.cert).fingerprint256.replaceAll(":", "").toLowerCase();
  return { cert: made.cert, key: made.private, sha256 };
}

const usage = (given: object): Extensions[number] => ({ name: "keyUsage", ...given });
const dnsName = (value: string) => ({ type: 2 as const, value });
