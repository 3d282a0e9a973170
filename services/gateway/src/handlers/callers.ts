import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { policyV1 } from "@tollgate/contracts";
import { AppError, toAppError } from "@tollgate/errors";
import type { Credentials, Policy, Principal } from "../clients/policy.ts";
import { toCertificate } from "../domain/client-certificate.ts";
import { bearerToken } from "../domain/http-checks.ts";
import { clientAddress, trustedProxies } from "./addresses.ts";
import type { AuthenticationFailures, FailedAttempt } from "./authentication-failures.ts";

/** Whose request it is, from where, and how to find out once more. */
export interface Caller {
  readonly principal: Principal;
  /** Policy's revision at which the principal was resolved. */
  readonly revision: number;
  readonly authenticate: () => Principal | Promise<Principal>;
  /** The client's own, as far as trusted proxies say it; empty where it is not known. */
  readonly address: string;
}

export interface Callers {
  /**
   * A failure is an event, and its answer is held back where they keep coming; not that to a request without any proof.
   * @param check refuses a principal that has no business there
   * @throws {AppError} `unauthenticated`, `overloaded`; `unavailable` without a lease; what `check` throws
   */
  identify(
    request: IncomingMessage,
    options: { transport: FailedAttempt["transport"]; check?: (principal: Principal) => Principal },
  ): Promise<Caller>;
}

export function createCallers(options: {
  policy: Policy;
  failures: AuthenticationFailures;
  trustedProxies: readonly string[];
  certificateRequired: boolean;
}): Callers {
  const { policy, failures, certificateRequired } = options;
  const trusted = trustedProxies(options.trustedProxies);

  function credentialsOf(request: IncomingMessage): Credentials {
    const certificate = certificateOf(request.socket);
    if (certificate === undefined && certificateRequired)
      throw new AppError("unauthenticated", "a client certificate that this gateway trusts is needed");
    const { authorization } = request.headers;
    if (countOf("authorization", request) > 1)
      throw new AppError("unauthenticated", "the Authorization header was sent more than once");
    // Whoever sends a token means it, whatever the connection has proved.
    const token = authorization === undefined && certificate !== undefined ? "" : bearerToken(authorization);
    return { token, certificate };
  }

  return {
    async identify(request, { transport, check = same }) {
      const address = clientAddress(request.socket.remoteAddress, forwardedOf(request), trusted);
      let known: Principal | undefined;
      const accept = (principal: Principal) => check((known = principal));
      const resolve = (): Principal | Promise<Principal> => {
        // Anew each time: a certificate may have expired meanwhile.
        const resolved = policy.authenticate(credentialsOf(request));
        return resolved instanceof Promise ? resolved.then(accept) : accept(resolved);
      };
      const { revision } = policy;
      try {
        const resolved = resolve();
        const principal = resolved instanceof Promise ? await resolved : resolved;
        const attempt = { address, transport, principal };
        return { principal, revision, address, authenticate: () => again(resolve, attempt, failures) };
      } catch (error) {
        const reason = toAppError(error);
        if (reason.code !== "unauthenticated") throw error;
        const attempt = { address, transport, principal: known };
        if (bringsNothing(request)) failures.record(attempt, reason);
        else await failures.hold(attempt, reason);
        throw error;
      }
    },
  };
}

/** As clients do that ask where tokens come from: nothing is guessed. */
function bringsNothing({ headers, socket }: IncomingMessage): boolean {
  return headers.authorization === undefined && certificateOf(socket) === undefined;
}

const same = (principal: Principal) => principal;

/** Of somebody who was let in before, and may not be in any more. */
function again(
  resolve: () => Principal | Promise<Principal>,
  attempt: FailedAttempt,
  failures: AuthenticationFailures,
): Principal | Promise<Principal> {
  const record = (error: unknown): never => {
    const reason = toAppError(error);
    if (reason.code === "unauthenticated") failures.record(attempt, reason);
    throw error;
  };
  try {
    const resolved = resolve();
    return resolved instanceof Promise ? resolved.catch(record) : resolved;
  } catch (error) {
    return record(error);
  }
}

/** Node keeps one of them; a proxy on the way may have looked at another. */
function countOf(name: string, { rawHeaders }: IncomingMessage): number {
  let count = 0;
  for (let at = 0; at < rawHeaders.length; at += 2)
    if (rawHeaders[at]!.length === name.length && rawHeaders[at]!.toLowerCase() === name) count += 1;
  return count;
}

function forwardedOf({ headers }: IncomingMessage): string | undefined {
  const forwarded = headers["x-forwarded-for"];
  return Array.isArray(forwarded) ? forwarded.join(",") : forwarded;
}

/** Of each connection once: reading a certificate costs more than all else about a request. */
const certificates = new WeakMap<Socket, policyV1.Certificate>();

/** The certificate that the client has proved to have, where its chain ends at an authority that is trusted here. */
function certificateOf(socket: Socket): policyV1.Certificate | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  let certificate = certificates.get(socket);
  if (certificate === undefined) {
    const peer = socket.getPeerX509Certificate();
    if (peer === undefined) return undefined;
    certificate = toCertificate(peer);
    certificates.set(socket, certificate);
  }
  return Number(certificate.notAfterMs) > Date.now() ? certificate : undefined;
}
