/**
 * Log lines: a sentence and fields. One JSON object a line; on a terminal, the same for the eye.
 *
 * error = something was lost; warn = unexpected, nothing lost; info = what was asked for happened; nothing per
 * callback above debug.
 */
export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

export type LogFields = Record<string, string | number | boolean | null | undefined>;
export type Log = Record<LogLevel, (message: string, fields?: LogFields) => void>;

export interface LogOptions {
  level: LogLevel;
  /** For the eye instead of for machines. */
  isTerminal: boolean;
  write: (line: string) => void;
  now: () => Date;
}

/** Longer messages and values are cut: a line must stay one line of a log shipper. */
const textMax = 1_000;

/**
 * Characters that end a line, steer a terminal or turn the direction of what is read: line feed, the escape of ANSI
 * sequences, U+2028, right-to-left overrides. Neither format leaves one in a line.
 */
const controls = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;

export function createLog({ level, isTerminal, write, now }: LogOptions): Log {
  const format = isTerminal ? formatText : formatJson;
  const threshold = logLevels.indexOf(level);
  const logAt =
    (severity: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      if (logLevels.indexOf(severity) < threshold) return;
      const cutFields = Object.entries(fields).map(([name, value]) => [
        name,
        typeof value === 'string' ? cut(value) : value,
      ]);
      const line = format(now().toISOString(), severity, cut(message), Object.fromEntries(cutFields));
      write(`${escapeControls(line)}\n`);
    };
  return { debug: logAt('debug'), info: logAt('info'), warn: logAt('warn'), error: logAt('error') };
}

function cut(text: string): string {
  return text.length > textMax ? `${text.slice(0, textMax)}…` : text;
}

/** Makes a text safe to show, as one line. Escaped as JSON does it, so that a line in JSON stays JSON. */
export function escapeControls(text: string): string {
  return text.replace(controls, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function formatJson(time: string, level: LogLevel, message: string, fields: LogFields): string {
  return JSON.stringify({ time, level, message, ...fields });
}

/** `12:00:00 warn  Callbacks are not authenticated  setting=CALLBACK_TOKENS`; values quoted, so that none forges a line. */
function formatText(time: string, level: LogLevel, message: string, fields: LogFields): string {
  const rest = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(
      ([name, value]) =>
        `  ${name}=${typeof value === 'string' && /^[\w./:@-]+$/.test(value) ? value : JSON.stringify(value)}`,
    );
  return `${time.slice(11, 19)} ${level.padEnd(5)} ${message}${rest.join('')}`;
}
