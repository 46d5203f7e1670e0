/** The URL of a PostgreSQL database, as its own programs write it. */
export function isPostgresUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, pathname, hostname } = new URL(text);
  const named = username !== "" && hostname !== "" && pathname.length > 1;
  return ["postgres:", "postgresql:"].includes(protocol) && named;
}

/** For people and records: the URL without what lets one in. */
export function withoutPassword(text: string): string {
  const url = new URL(text);
  url.password = "";
  url.searchParams.delete("password");
  return url.href;
}
