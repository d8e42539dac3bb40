/** Command lines of the services: what they have in common, and how they are refused. */
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { CodedError, messageOf } from '../errors.ts';

/** The exit status after a `UsageError`. */
export const EXIT_USAGE = 2;
export const LOG_LEVELS = ['error', 'warn', 'info', 'debug'] as const;
export const LOG_FORMATS = ['json', 'text'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFormat = (typeof LOG_FORMATS)[number];

/** The options that every service has. */
export const COMMON_OPTIONS = {
  'log-level': { type: 'string' },
  'log-format': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const satisfies ParseArgsOptionsConfig;

/** What was typed is refused; the sentence says what is valid. */
export class UsageError extends CodedError<{ readonly code: 'usage' }> {
  override readonly name = 'UsageError';
}

/** The command line of one program. All of it throws `UsageError`. */
export class ProgramArguments {
  readonly #program: string;

  /** @param program as it is typed: `maya agent` */
  constructor(program: string) {
    this.#program = program;
  }

  /** Options only: there are no operands, and an unknown option is told what there is. */
  values<const Options extends ParseArgsOptionsConfig>(argv: readonly string[], options: Options) {
    const config = { args: [...argv], options, allowPositionals: false } as const;
    try {
      return parseArgs<typeof config>(config).values;
    } catch (error) {
      const [sentence = ''] = messageOf(error).split(/\. |\.?(?:\n|$)/);
      const valid = Object.keys(options).map((name) => `--${name}`);
      throw this.refusal(`${sentence}; valid options: ${valid.join(', ')}`, error);
    }
  }

  oneOf<const Word extends string>(option: string, given: string, words: readonly Word[]): Word {
    const found = words.find((word) => word === given);
    if (found !== undefined) return found;
    throw this.refusal(`--${option} ${given}: give one of ${words.join(', ')}`);
  }

  /** Of a service of ours, which listens on a unix socket or on loopback. */
  address(option: string, given: string): string {
    if (/^unix:\/./.test(given) || /^http:\/\/127\.0\.0\.1:[0-9]{1,5}$/.test(given)) return given;
    throw this.refusal(`--${option} ${given}: give unix:/path or http://127.0.0.1:PORT`);
  }

  logging(values: { readonly 'log-level'?: string; readonly 'log-format'?: string }): {
    readonly level: LogLevel;
    readonly format: LogFormat;
  } {
    return {
      level: this.oneOf('log-level', values['log-level'] ?? 'info', LOG_LEVELS),
      format: this.oneOf('log-format', values['log-format'] ?? 'json', LOG_FORMATS),
    };
  }

  refusal(sentence: string, cause?: unknown): UsageError {
    return new UsageError(
      { code: 'usage' },
      `${sentence}; ${this.#program} --help tells more`,
      cause,
    );
  }

  /**
   * What `read` makes of the command line, or the exit status when there is nothing to start: the
   * refusal goes to stderr, the help to stdout.
   * @param read null when the help was asked for
   */
  readOr<Given>(read: () => Given | null, help: string): Given | number {
    try {
      const given = read();
      if (given !== null) return given;
      process.stdout.write(help);
      return 0;
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      process.stderr.write(`${this.#program}: ${error.message}\n`);
      return EXIT_USAGE;
    }
  }
}
