/**
 * `npm run bench`: ours, with one and with three replicas, beside tgt in one run on this machine.
 *
 *     npm run bench -- [--quick] [--json]
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
  const text =
    values.json === true ? JSON.stringify(report, null, 2) : reportText(report, TGT.name);
  process.stdout.write(`${text}\n`);
  return 0;
}

process.exitCode = await main();
