import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AppError, ERROR_CODES, toAppError } from "./app-error.ts";
import { fromGrpc, grpcStatus, httpStatus, rpcCode, toProblem, toRpcError } from "./mapping.ts";

/** Clients and dashboards hold on to these: a change here is a change of the API. */
const FIXED = {
  invalid_argument: [400, -32602, status.INVALID_ARGUMENT],
  unauthenticated: [401, -32001, status.UNAUTHENTICATED],
  permission_denied: [403, -32003, status.PERMISSION_DENIED],
  not_found: [404, -32602, status.NOT_FOUND],
  method_not_found: [404, -32601, status.UNIMPLEMENTED],
  already_exists: [409, -32602, status.ALREADY_EXISTS],
  failed_precondition: [409, -32602, status.FAILED_PRECONDITION],
  payload_too_large: [413, -32600, status.OUT_OF_RANGE],
  overloaded: [429, -32005, status.RESOURCE_EXHAUSTED],
  cancelled: [499, -32006, status.CANCELLED],
  deadline_exceeded: [504, -32007, status.DEADLINE_EXCEEDED],
  unavailable: [503, -32008, status.UNAVAILABLE],
  outcome_unknown: [502, -32009, status.ABORTED],
  internal: [500, -32603, status.INTERNAL],
} as const;

/** What a gRPC client makes of a handler's answer. */
function received(error: AppError): ServiceError {
  return Object.assign(new Error("transport"), grpcStatus(error));
}

describe("the mapping of codes", () => {
  it("has one fixed HTTP status, JSON-RPC code and gRPC status for each code", () => {
    const mapped = ERROR_CODES.map((code) => [
      code,
      [httpStatus(code), rpcCode(code), grpcStatus(new AppError(code, "")).code],
    ]);
    expect(Object.fromEntries(mapped)).toEqual(FIXED);
  });

  it("gives each code a gRPC status of its own, so that other languages' clients can tell them apart", () => {
    const codes = ERROR_CODES.map((code) => grpcStatus(new AppError(code, "")).code);
    expect(new Set(codes).size).toBe(ERROR_CODES.length);
  });

  it("leaves the JSON-RPC codes that the protocol has given a meaning to the protocol", () => {
    for (const code of ERROR_CODES) expect([-32_020, -32_021, -32_022, -32_002]).not.toContain(rpcCode(code));
  });
});

describe("problem details", () => {
  it("say status, code and detail, and add the details", () => {
    const error = new AppError("not_found", "no server crm", { details: { server: "crm" } });
    expect(toProblem(error)).toEqual({
      type: "about:blank",
      title: "Not found",
      status: 404,
      code: "not_found",
      detail: "no server crm",
      server: "crm",
    });
  });

  it("cannot be talked over by a detail of the same name", () => {
    const error = new AppError("unavailable", "down", { details: { status: 200, code: "ok", type: "x", detail: "y" } });
    expect(toProblem(error)).toMatchObject({ status: 503, code: "unavailable", type: "about:blank", detail: "down" });
    expect(toRpcError(error).data).toMatchObject({ code: "unavailable", retryable: true });
  });
});

describe("an error over gRPC", () => {
  it("keeps code and message, whatever they are", () => {
    fc.assert(
      fc.property(fc.constantFrom(...ERROR_CODES), fc.string({ unit: "grapheme" }), (code, message) => {
        const there = new AppError(code, message);
        const here = fromGrpc(received(there), "policy");
        expect({ code: here.code, message: here.message, retryable: here.retryable }).toEqual({
          code,
          message,
          retryable: there.retryable,
        });
      }),
    );
  });

  it("keeps its details, as long as they fit beside the message", () => {
    const details = { errors: [{ path: "conditions.zeit", message: "is not known: é" }], version: 3 };
    expect(fromGrpc(received(new AppError("invalid_argument", "no", { details })), "policy").details).toEqual(details);
    const long = new AppError("invalid_argument", "no", { details: { text: "x".repeat(10_000) } });
    expect(fromGrpc(received(long), "policy")).toMatchObject({ message: "no", details: {} });
  });

  it("is well-formed text: half a character, left by cutting, cannot be sent", () => {
    const cut = "an emoji 🙂".slice(0, -1);
    expect(grpcStatus(new AppError("invalid_argument", cut)).details.isWellFormed()).toBe(true);
  });

  it("is short enough for the header that it travels in", () => {
    const { details } = grpcStatus(new AppError("invalid_argument", "語".repeat(100_000)));
    expect(encodeURI(details).length).toBeLessThan(48_000);
  });

  it("is `unavailable` when it is the transport's word, and names the service", () => {
    const lost = Object.assign(new Error("x"), {
      code: status.UNAVAILABLE,
      details: "ECONNREFUSED",
      metadata: new Metadata(),
    });
    expect(fromGrpc(lost, "policy")).toMatchObject({
      code: "unavailable",
      message: "policy cannot be reached: ECONNREFUSED",
      retryable: true,
    });
  });

  it("is `deadline_exceeded` when no answer came, and may be tried again", () => {
    const late = Object.assign(new Error("x"), {
      code: status.DEADLINE_EXCEEDED,
      details: "",
      metadata: new Metadata(),
    });
    expect(fromGrpc(late, "policy")).toMatchObject({ code: "deadline_exceeded", retryable: true });
  });

  it("is not taken at its word for a code that we do not have", () => {
    const metadata = new Metadata();
    metadata.set("tollgate-code", "all_is_well");
    const odd = Object.assign(new Error("x"), { code: status.UNKNOWN, details: "odd", metadata });
    expect(fromGrpc(odd, "audit").code).toBe("unavailable");
  });
});

describe("an error that nobody threw on purpose", () => {
  it("keeps its message, its stack and its cause from the client", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 12 }), (secret) => {
        const error = toAppError(new Error(`password authentication failed: ${secret}`));
        const shown = JSON.stringify([toProblem(error), toRpcError(error), grpcStatus(error).details]);
        expect(shown).not.toContain(JSON.stringify(secret).slice(1, -1));
        expect(shown).not.toContain("password");
      }),
    );
  });

  it("keeps its cause for the log", () => {
    const cause = new Error("relation does not exist");
    expect(toAppError(cause)).toMatchObject({ code: "internal", cause, retryable: false });
  });

  it.each([undefined, null, "text", 7, { message: "secret" }])("may be %j", (thrown) => {
    expect(toAppError(thrown).message).not.toContain("secret");
    expect(toAppError(thrown).code).toBe("internal");
  });

  it("is left alone when it was thrown on purpose", () => {
    const error = new AppError("not_found", "no such tool");
    expect(toAppError(error)).toBe(error);
  });
});

describe("whether the same request may succeed later", () => {
  it("follows from the code", () => {
    const retryable = ERROR_CODES.filter((code) => new AppError(code, "").retryable);
    expect(retryable).toEqual(["overloaded", "unavailable"]);
  });

  it("may be said otherwise", () => {
    expect(new AppError("unavailable", "", { retryable: false }).retryable).toBe(false);
    expect(new AppError("failed_precondition", "", { retryable: true }).retryable).toBe(true);
  });
});
