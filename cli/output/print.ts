import { stringify } from 'yaml';
import type { CliContext, OutputFormat } from '../context.ts';

/** Data for programs as JSON or YAML; for people what `text` makes of it. */
export function print(
  context: CliContext,
  format: OutputFormat,
  { data, text }: { readonly data: unknown; readonly text: () => string },
): void {
  context.stdout.write(`${formatted(format, data, text).trimEnd()}\n`);
}

function formatted(format: OutputFormat, data: unknown, text: () => string): string {
  switch (format) {
    case 'json':
      return JSON.stringify(data, null, 2);
    case 'yaml':
      return stringify(data);
    case 'table':
      return text();
  }
}

/** A remark for the person at the terminal; stdout stays what a program may read. */
export function note(context: CliContext, sentence: string): void {
  context.stderr.write(`${sentence}\n`);
}
