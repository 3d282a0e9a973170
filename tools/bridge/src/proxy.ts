type Environment = Readonly<Record<string, string | undefined>>;

const VARIABLES = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"] as const;

/** The variables for Node's own support of proxies, if one of them may concern this URL. */
export function proxySettings(url: URL, env: Environment): Record<string, string> | undefined {
  if (proxyVariable(url, env) === undefined) return undefined;
  return Object.fromEntries(VARIABLES.flatMap((name) => (env[name] ? [[name, env[name]]] : [])));
}

/**
 * The variable that names a proxy for this URL, unless NO_PROXY says otherwise. A proxy's loopback is not this machine's,
 * so a gateway here is never asked for through one.
 */
export function proxyVariable({ protocol, hostname }: URL, env: Environment): string | undefined {
  const host = hostname.replace(/^\[|\]$/g, "");
  if (host === "localhost" || host.endsWith(".localhost") || host === "::1" || host.startsWith("127."))
    return undefined;
  const isSecure = protocol === "https:" || protocol === "wss:";
  return (isSecure ? ["https_proxy", "HTTPS_PROXY"] : ["http_proxy", "HTTP_PROXY"]).find((name) => env[name]);
}

/** Node's agents go through proxies since 22.21 and 24.5. */
export function knowsProxies(nodeVersion: string): boolean {
  const [major = 0, minor = 0] = nodeVersion.split(".").map(Number);
  return major > 24 || (major === 24 && minor >= 5) || (major === 22 && minor >= 21);
}
