/** The URL of a PostgreSQL database, as its own programs write it. */
export function isPostgresUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, pathname, hostname } = new URL(text);
  const named = username !== "" && hostname !== "" && pathname.length > 1;
  return ["postgres:", "postgresql:"].includes(protocol) && named;
}

/** It leads over a network and says nothing about TLS, without which the cluster's data would be readable there. */
export function isUnprotected(text: string): boolean {
  const { hostname, searchParams } = new URL(text);
  const host = searchParams.get("host") ?? hostname;
  const local = host.startsWith("/") || host === "localhost" || host === "[::1]" || /^127\./.test(host);
  return !local && !searchParams.has("sslmode");
}

/** For people and records: the URL without what lets one in. */
export function withoutPassword(text: string): string {
  const url = new URL(text);
  url.password = "";
  url.searchParams.delete("password");
  return url.href;
}
