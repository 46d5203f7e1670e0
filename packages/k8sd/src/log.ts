import pino, { type Logger } from "pino";

/** Paths that may hold secrets, whoever logs them. */
const redact = ["token", "secret", "key", "password", "authorization", "kubeconfig", "config"].flatMap((name) => [
  name,
  `*.${name}`,
  `*.*.${name}`,
]);

/** JSON lines on standard output. @param level of pino: "debug", "info", … */
export function createLogger(level: string): Logger {
  return pino({ level, redact: { paths: redact, censor: "[redacted]" }, timestamp: pino.stdTimeFunctions.isoTime });
}
