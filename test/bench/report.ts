/** The measurements for people: a row for each case and system, with the ratio to the peer. */
import Table from 'cli-table3';
import { MiB } from '../../core/units.ts';
import { type BenchReport, caseName, type Measurement } from './measure.ts';

const RIGHT = 'right' as const;
const LEFT = 'left' as const;

/** @param peer the system that all others are compared with. */
export function reportText({ measurements, memory }: BenchReport, peer: string): string {
  const speed = new Table({
    head: ['case', 'system', 'I/O per s', 'MB/s', `to ${peer}`, 'p50 µs', 'p99 µs', 'CPU s/M I/O'],
    colAligns: [LEFT, LEFT, RIGHT, RIGHT, RIGHT, RIGHT, RIGHT, RIGHT],
    style: { head: [], border: [], compact: true },
  });
  let lastCase = '';
  for (const one of measurements) {
    const name = caseName(one);
    speed.push([
      name === lastCase ? '' : name,
      one.system,
      Math.round(one.perSecond),
      ((one.perSecond * one.sizeBytes) / 1e6).toFixed(0),
      ratioTo(peer, one, measurements),
      Math.round(one.p50Us),
      Math.round(one.p99Us),
      one.cpuSecondsPerMillion.toFixed(one.cpuSecondsPerMillion < 100 ? 1 : 0),
    ]);
    lastCase = name;
  }
  const sizes = new Table({
    head: ['system', 'process', 'RSS MiB', 'peak MiB'],
    colAligns: [LEFT, LEFT, RIGHT, RIGHT],
    style: { head: [], border: [], compact: true },
  });
  for (const one of memory) {
    const mebibytes = (bytes: number) => (bytes / MiB).toFixed(1);
    const { residentBytes, residentBytesMax } = one;
    sizes.push([one.system, one.process, mebibytes(residentBytes), mebibytes(residentBytesMax)]);
  }
  return `${speed.toString()}\n\n${sizes.toString()}\n`;
}

function ratioTo(peer: string, one: Measurement, all: readonly Measurement[]): string {
  const base = all.find(
    (other) =>
      other.system === peer &&
      other.kind === one.kind &&
      other.sizeBytes === one.sizeBytes &&
      other.queueDepth === one.queueDepth,
  );
  return base === undefined ? '–' : `${(one.perSecond / base.perSecond).toFixed(2)}×`;
}
