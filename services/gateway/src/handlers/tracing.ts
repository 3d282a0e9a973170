import { context, propagation, ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";

const tracer = trace.getTracer("tollgate-gateway");
const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

export interface CallTrace {
  /** W3C trace context for whoever works on the call next; the client's own where nobody records spans here. */
  readonly traceparent: string | undefined;
  end(failure?: string): void;
}

/** A span around one call, below the client's (header, or `_meta.traceparent`). Costs next to nothing without an SDK. */
export function startCallTrace(method: string, name: string, given: unknown): CallTrace {
  const parent = typeof given === "string" && TRACEPARENT.test(given) ? given : undefined;
  const from = parent === undefined ? ROOT_CONTEXT : propagation.extract(ROOT_CONTEXT, { traceparent: parent });
  const span: Span = tracer.startSpan(
    method,
    { kind: SpanKind.SERVER, attributes: { "mcp.method.name": method, "mcp.target.name": name } },
    from,
  );
  const carrier: { traceparent?: string } = {};
  if (span.isRecording()) propagation.inject(trace.setSpan(context.active(), span), carrier);
  return {
    traceparent: carrier.traceparent ?? parent,
    end(failure) {
      if (failure !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: failure });
      span.end();
    },
  };
}
