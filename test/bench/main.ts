/**
 * `npm run bench`: ours, with one and with three replicas, beside tgt in one run on this machine.
 *
 *     npm run bench -- [--quick] [--json]
 *
 * With `--json` the tables are on stderr, and stdout has the same as JSON.
 */
import { parseArgs } from 'node:util';
import { MiB } from '../../core/units.ts';
import { CASES } from './cases.ts';
import { measure } from './measure.ts';
import { reportText } from './report.ts';
import { ours, TGT } from './systems.ts';

const FULL = { durationMs: 4_000, volumeBytes: 1024 * MiB, spanBytes: 512 * MiB };
const QUICK = { durationMs: 500, volumeBytes: 256 * MiB, spanBytes: 64 * MiB };

async function main(): Promise<number> {
  const options = { quick: { type: 'boolean' }, json: { type: 'boolean' } } as const;
  const { values } = parseArgs({ options });
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    process.stderr.write('bench: needs Linux and root, because tgtd does: sudo make bench\n');
    return 1;
  }
  const report = await measure({
    systems: [TGT, ours(1), ours(3)],
    cases: CASES,
    ...(values.quick === true ? QUICK : FULL),
    say: (line) => process.stderr.write(`${line}\n`),
  });
  const forPeople = values.json === true ? process.stderr : process.stdout;
  forPeople.write(`${reportText(report, TGT.name)}\n`);
  if (values.json === true) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  return 0;
}

process.exitCode = await main();
