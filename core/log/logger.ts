import winston from 'winston';
import type { LogFields, Logger, LogLevel } from '../platform/logger.ts';
import { plainFields } from './plain-fields.ts';

export interface LoggerOptions {
  /** `apiserver`, `agent`: in every line. */
  readonly service: string;
  readonly level?: LogLevel;
  /** json: one object a line, for machines; text: for a person at a terminal. */
  readonly format?: 'json' | 'text';
  /** Where lines go; default is stderr. */
  readonly stream?: NodeJS.WritableStream;
}

const { combine, json, printf, timestamp } = winston.format;

export function createLogger(options: LoggerOptions): Logger {
  const { service, level = 'info', format = 'json', stream = process.stderr } = options;
  return new WinstonLogger(
    winston.createLogger({
      level,
      format: combine(timestamp(), format === 'json' ? json() : printf(textLine)),
      transports: [new winston.transports.Stream({ stream })],
    }),
    { service },
  );
}

class WinstonLogger implements Logger {
  readonly #winston: winston.Logger;
  readonly #fields: LogFields;

  constructor(logger: winston.Logger, fields: LogFields) {
    this.#winston = logger;
    this.#fields = fields;
  }

  error(message: string, fields?: LogFields): void {
    this.#write('error', message, fields);
  }

  warn(message: string, fields?: LogFields): void {
    this.#write('warn', message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.#write('info', message, fields);
  }

  debug(message: string, fields?: LogFields): void {
    this.#write('debug', message, fields);
  }

  with(fields: LogFields): Logger {
    return new WinstonLogger(this.#winston, { ...this.#fields, ...fields });
  }

  /** `message` and `level` win over fields of that name: no field can forge them. */
  #write(level: LogLevel, message: string, fields: LogFields = {}): void {
    if (!this.#winston.isLevelEnabled(level)) return;
    this.#winston.log({ ...plainFields({ ...this.#fields, ...fields }), level, message });
  }
}

function textLine(line: winston.Logform.TransformableInfo): string {
  const { timestamp: time, level, message, service, ...fields } = line;
  const rest = Object.entries(fields).map(([name, value]) => ` ${name}=${JSON.stringify(value)}`);
  const head = `${String(time)} ${level.padEnd(5)} ${String(service)}: ${String(message)}`;
  return `${head}${rest.join('')}`;
}
