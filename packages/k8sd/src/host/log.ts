/** The part of a pino logger that the host uses. */
export interface HostLog {
  debug(fields: Readonly<Record<string, unknown>>, message: string): void;
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}

export const silentLog: HostLog = { debug() {}, info() {}, warn() {} };
