import Table from 'cli-table3';
import { printable } from './text.ts';

const NO_BORDERS = Object.fromEntries(
  ['top', 'bottom', 'left', 'right', 'mid', 'middle'].flatMap((side) =>
    ['', '-mid', '-left', '-right'].map((part) => [`${side}${part}`, '']),
  ),
);

export interface Column<Row> {
  readonly head: string;
  readonly align?: 'left' | 'right';
  cell(row: Row): string;
  /** After the width is known, so that colours do not count. */
  paint?(text: string, row: Row): string;
}

/** Aligned columns without borders: for eyes, and for `awk`. */
export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const made = new Table({
    chars: NO_BORDERS,
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 2 },
    head: columns.map((column) => column.head),
    colAligns: columns.map((column) => column.align ?? 'left'),
  });
  for (const row of rows) {
    made.push(columns.map((column) => cellText(column, row)));
  }
  return trimmedLines(made.toString());
}

/** `name: value` lines, aligned. */
export function facts(pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${name.padEnd(width)}  ${value}`.trimEnd()).join('\n');
}

function cellText<Row>(column: Column<Row>, row: Row): string {
  const text = printable(column.cell(row));
  const shown = text === '' ? '-' : text;
  return column.paint?.(shown, row) ?? shown;
}

function trimmedLines(text: string): string {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
